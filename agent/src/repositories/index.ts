/** Working trees of Git repositories, out of a cache that is shared and gives nothing without the host's word. */
export { RepositoryCache } from "./cache";
export type {
  Checkout,
  CheckoutAsk,
  RepositoryCacheOptions,
  RepositoryLimits,
  RepositoryUsage,
} from "./types";
