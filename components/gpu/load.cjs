/**
 * @file What a GpuPool's methods run: the provider of the program as it is now, whatever the state was made with. The
 * text in the state (stub.ts) requires this file at run time, in Pulumi's process for dynamic providers.
 */
require("../typescript.cjs");

module.exports = require("./provider").provider;
