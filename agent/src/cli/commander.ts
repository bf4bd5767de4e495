/** The types of commander, an ES module: loaded by `import()` in run.ts, which a CommonJS program may do. */
export type Commander = typeof import("commander", { with: { "resolution-mode": "import" }});
export type Command = InstanceType<Commander["Command"]>;
export type Option = InstanceType<Commander["Option"]>;
