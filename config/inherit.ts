/**
 * The one rule of inheritance: a field that the nearer part sets wins whole, one that it leaves out comes from the
 * farther part. Fields are never mixed inside: a node's `jump` replaces the stack's `jump`.
 */
export function inherit<T extends object>(far: T, near: Partial<T> | undefined): T {
  const set = Object.entries(near ?? {}).filter(([, value]) => value !== undefined);
  return { ...far, ...Object.fromEntries(set) };
}
