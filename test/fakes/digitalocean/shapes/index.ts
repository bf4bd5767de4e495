/** Shapes of requests and answers, from the official client. */
export { differences } from "./check";
export { type Description, loadDescription, type Operation } from "./description";
