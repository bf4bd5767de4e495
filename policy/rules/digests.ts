import { CONTAINER, IMAGE, isUnknown, type Rule, text } from "./rule";

/** `NAME@sha256:…` or the id of an image, `sha256:…`. */
const DIGEST = /^([^@\s]+@)?sha256:[0-9a-f]{64}$/;

/** In production an image is named by its content, so that a moved tag changes nothing. */
export const digests: Rule = {
  name: "images-by-digest-in-production",
  description: "In a production stack every image is named by its digest.",
  check: ({ type, props }, { production }) => {
    const field = type === CONTAINER ? "image" : type === IMAGE ? "name" : undefined;
    if (!production || field === undefined || isUnknown(props[field])) return [];
    const name = text(props[field]);
    if (name !== undefined && DIGEST.test(name)) return [];
    return [
      `${field} is "${name ?? ""}", which may be another image tomorrow: write NAME@sha256:…, or the image's id`,
    ];
  },
};
