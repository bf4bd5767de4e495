/** `digitalocean:index/tag:Tag`: properties and their place in the API. Pure. */
import type { Props } from "@berth/plugin-base";
import { type Fields, string } from "@berth/plugin-base/bridged";
import { TAG } from "../resource";

export const tagFields: Fields = {
  name: string({ computed: true, replace: true, pattern: TAG }),
};

export interface ApiTag {
  readonly name: string;
}

export const tagState = ({ name }: ApiTag): Props => ({ name });
