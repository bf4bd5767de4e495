/** DigitalOcean: what the droplets of a stack share, and what the account offers. */
export { Account, type AccountArgs } from "./account";
