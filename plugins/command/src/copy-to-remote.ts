/** `command:remote:CopyToRemote`: a file or a directory put on a host. */
import { randomBytes } from "node:crypto";
import { readdir, stat } from "node:fs/promises";
import { basename, join, posix } from "node:path";
import {
  asAsset,
  type CheckFailure,
  type Context,
  defaultPool,
  hasUnknown,
  type Props,
  ProviderError,
  type RemoteFiles,
  type ResourceType,
  type SshPool,
} from "@berth/plugin-base";
import { checkConnection, connectionOf, connectionProperty } from "./connection";

export function copyToRemote(pool: SshPool = defaultPool): ResourceType {
  const copy = async (props: Props, ctx: Context): Promise<void> => {
    const source = asAsset(props.source);
    if (source === undefined) throw new ProviderError("source is no asset");
    const to = connectionOf(props.connection);
    const remotePath = String(props.remotePath);
    const options = {
      signal: ctx.signal,
      onRetry: (message: string) => ctx.log("info", message, { ephemeral: true }),
    };
    await pool.withFiles(to, options, async (files) => {
      if (source.path === undefined) await files.put(source.text ?? "", remotePath);
      else await copyPath(files, source.path, remotePath);
    });
  };
  return {
    inputs: {
      connection: connectionProperty,
      source: { type: "asset", required: true },
      remotePath: { type: "string", required: true },
      triggers: { type: "array", items: { type: "any" }, replace: true },
    },
    async check({ news }) {
      return { failures: [...(await checkConnection(news.values)), ...checkSource(news.values)] };
    },
    async create({ inputs }, ctx) {
      if (ctx.preview) return { id: "", outs: inputs.values };
      await copy(inputs.values, ctx);
      return { id: randomBytes(4).toString("hex"), outs: inputs.values };
    },
    async update({ olds, news }, ctx) {
      if (!ctx.preview && needsCopy(olds.values, news.values)) await copy(news.values, ctx);
      return { outs: news.values };
    },
    // What was copied stays, as with the official plugin.
    async delete() {},
  };
}

/** The kinds of source that the official 1.2.1 takes. */
function checkSource({ source }: Props): CheckFailure[] {
  if (source === undefined || hasUnknown(source)) return [];
  const asset = asAsset(source);
  if (asset === undefined || asset.path !== undefined) return [];
  if (asset.kind === "asset" && asset.text !== undefined) return [];
  const reason =
    asset.kind === "asset"
      ? "has to be a FileAsset or a StringAsset"
      : "has to be a FileArchive of a local file or directory";
  return [{ property: "source", reason }];
}

/**
 * The official plugin copies again when content or path changed. So does this one, and when the server
 * changed, where the file cannot be yet.
 */
export function needsCopy(olds: Props, news: Props): boolean {
  const before = connectionOf(olds.connection);
  const after = connectionOf(news.connection);
  return (
    asAsset(olds.source)?.hash !== asAsset(news.source)?.hash ||
    olds.remotePath !== news.remotePath ||
    before.host !== after.host ||
    before.port !== after.port
  );
}

/**
 * The rules of the official plugin, which are those of `cp -r` and rsync: a file goes to the path, or into
 * it if it is a directory; a directory goes into the path under its name; `directory/` puts its content
 * there. An archive file is copied as it is.
 */
async function copyPath(files: RemoteFiles, source: string, remotePath: string): Promise<void> {
  const there = await files.stat(remotePath);
  const local = await localStat(source);
  if (!local.isDirectory()) {
    const target = there?.directory === true ? posix.join(remotePath, basename(source)) : remotePath;
    await files.put({ path: source }, target);
    return;
  }
  if (there !== undefined && !there.directory) {
    throw new ProviderError(`remotePath ${remotePath} is a file, and the source ${source} is a directory`);
  }
  const target = source.endsWith("/") ? remotePath : posix.join(remotePath, basename(source));
  await copyDirectory(files, source, target);
}

async function copyDirectory(files: RemoteFiles, source: string, target: string): Promise<void> {
  await files.mkdirs(target);
  const names = (await readdir(source)).sort();
  for (const name of names) {
    const from = join(source, name);
    const to = posix.join(target, name);
    const found = await localStat(from);
    if (found.isDirectory()) await copyDirectory(files, from, to);
    else if (found.isFile()) await files.put({ path: from }, to);
    else throw new ProviderError(`${from} is neither a file nor a directory`);
  }
}

async function localStat(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    throw new ProviderError(`cannot read the source ${path}: ${(error as NodeJS.ErrnoException).code}`);
  }
}
