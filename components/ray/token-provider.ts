import { randomBytes } from "node:crypto";
import { nextToken, type TokenInputs } from "./generation";

/**
 * The methods of a RayToken, as Pulumi's process for dynamic providers calls them. The check decides about the generation,
 * since it alone sees what the state says; so a preview shows that Ray gets another token. Nothing is made anywhere.
 */

type Props = TokenInputs & Record<string, unknown>;

const fresh = () => randomBytes(8).toString("hex");

async function check(olds: Partial<Props>, news: Props): Promise<{ inputs: Props }> {
  return { inputs: { ...news, ...nextToken(olds, news, fresh) } };
}

/** Never a replacement: one that is made anew would forget who knows the token. */
async function diff(
  _id: string,
  olds: Props,
  news: Props,
): Promise<{ changes: boolean; replaces: string[] }> {
  const said = ({ knows = [], generation, access }: Props) => JSON.stringify([knows, generation, access]);
  return { changes: said(olds) !== said(news), replaces: [] };
}

const create = async (inputs: Props) => ({ id: "ray-token", outs: inputs });
const update = async (_id: string, _olds: Props, news: Props) => ({ outs: news });
const read = async (id: string, props: Props) => ({ id, props, inputs: props });
const remove = async () => {};

export const provider = { check, diff, create, read, update, delete: remove };
