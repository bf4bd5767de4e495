/** The provider's own settings (`pulumi:providers:docker`). Pure. */
import type { Schema } from "@berth/plugin-base";

const TLS =
  "this plugin does not speak TLS to an engine; use host: ssh://user@address, or the official docker plugin";

export const configSchema: Schema = {
  host: { type: "string" },
  sshOpts: { type: "array", items: { type: "string" } },
  registryAuth: {
    type: "array",
    secret: true,
    unsupported:
      "this plugin pulls without signing in; use registries that allow it, or the official docker plugin",
  },
  disableDockerDaemonCheck: { type: "boolean" },
  caMaterial: { type: "string", unsupported: TLS },
  certMaterial: { type: "string", unsupported: TLS },
  keyMaterial: { type: "string", secret: true, unsupported: TLS },
  certPath: { type: "string", unsupported: TLS },
  context: {
    type: "string",
    unsupported: "contexts are not read here; write the context's address into host",
  },
};
