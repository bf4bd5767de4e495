/**
 * @file Bundles berthd and its companions, each into one file that needs nothing but Node.js and `koffi.node` beside it.
 */
import { ROOT } from "../lib/paths.mjs";
import { ENTRIES } from "./agent-sources.cjs";

/** The native part of koffi is a file of its own, of the node's system and not of this one. */
const KOFFI = "./koffi.node";

/**
 * What dockerode loads for engines over SSH and for builds by BuildKit; berthd speaks to the node's own socket alone.
 * Without them it is 22 MB smaller in memory. And what `debug` takes where some other package has brought it: the image
 * must not depend on what is installed beside berthd's own packages.
 */
const UNUSED = /^(@grpc\/grpc-js|@grpc\/proto-loader|protobufjs|ssh2|supports-color)(\/|$)/;

/** zod's messages in 50 languages; berthd speaks English, which zod takes from a file of its own. 3 MB of memory. */
const LANGUAGES = /\/locales\/index\.js$/;

/**
 * @typedef {object} Bundle
 * @property {string} path `berthd.cjs`
 * @property {Buffer} content
 * @property {string[]} inputs the files that a part of it is from, below the repository's root
 */

/**
 * @param {Record<string, string>} [entries] name of the bundle -> its first source
 * @returns {Promise<Bundle[]>}
 */
export async function bundleAgent(entries = ENTRIES) {
  const { build } = await import("esbuild");
  return Promise.all(
    Object.entries(entries).map(async ([name, entry]) => {
      const result = await build({
        absWorkingDir: ROOT,
        entryPoints: [entry],
        outfile: `${name}.cjs`,
        bundle: true,
        write: false,
        metafile: true,
        platform: "node",
        target: "node24",
        format: "cjs",
        // Sources stay in memory as long as the program runs. Names stay as they are, for stack traces: short ones with
        // the long ones told to each function at run time (keepNames) take 6 MB more, and 4 % of a call.
        minifySyntax: true,
        minifyWhitespace: true,
        legalComments: "eof",
        logLevel: "silent",
        plugins: [
          {
            name: "native-parts",
            setup(builder) {
              // Its ES module looks for the native part by its own place, which a bundle has not.
              builder.onResolve({ filter: /^koffi$/ }, ({ path, kind, resolveDir }) =>
                kind === "require-call"
                  ? undefined
                  : builder.resolve(path, { resolveDir, kind: "require-call" }),
              );
              builder.onResolve({ filter: /^@koromix\/koffi-/ }, () => ({ path: KOFFI, external: true }));
              builder.onResolve({ filter: LANGUAGES }, ({ path, importer }) =>
                importer.includes("/node_modules/zod/") ? { path, namespace: "unused" } : undefined,
              );
              builder.onResolve({ filter: UNUSED }, ({ path }) => ({ path, namespace: "unused" }));
              builder.onLoad({ filter: /.*/, namespace: "unused" }, () => ({ contents: "" }));
            },
          },
        ],
      });
      const file = result.outputFiles[0];
      if (file === undefined) throw new Error(`${entry}: esbuild made nothing`);
      return {
        path: `${name}.cjs`,
        content: Buffer.from(file.contents),
        inputs: Object.values(result.metafile.outputs)
          .flatMap(({ inputs }) => Object.entries(inputs))
          .flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? [path] : []))
          .sort(),
      };
    }),
  );
}
