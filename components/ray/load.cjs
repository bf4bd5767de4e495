/** @file What a RayToken's methods run, as components/gpu/load.cjs for a GpuPool. */
require("../typescript.cjs");

module.exports = require("./token-provider").provider;
