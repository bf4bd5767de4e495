/** What all kinds of resources share. */
export { changed, defineResource, type Found, HalfMade, type Session, type Work } from "./define";
export { Journal, markOf, ownTags } from "./journal";
export { Line } from "./line";
export { createOnce } from "./once";
export { setTags, TAG, tagsField } from "./tags";
export { CIDR, IPV4, lower, numeric, SOME, sameSlug } from "./text";
