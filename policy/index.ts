import { join } from "node:path";
import { PolicyPack } from "@pulumi/policy";
import { factsOf } from "./facts";
import { policies } from "./pack";

/** The engine hands the stack over in these variables; the configuration with secrets in plain text: never print it. */
const { PULUMI_STACK = "", PULUMI_CONFIG = "{}" } = process.env;

new PolicyPack("berth", {
  enforcementLevel: "mandatory",
  policies: policies(factsOf(PULUMI_STACK, JSON.parse(PULUMI_CONFIG)), join(__dirname, "..")),
});
