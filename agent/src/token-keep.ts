/** Seconds. An old token is good beside its new one for a month at most. */
export const longestKeep = 30 * 86_400;
