/** Every property of every resource and function is one of the SDK's, and none that the SDK demands is missing. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Props } from "@berth/plugin-base";
import type { Fields } from "@berth/plugin-base/bridged";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { recordFields } from "../src/dns-record/map";
import { dropletFields } from "../src/droplet/schema";
import { firewallFields } from "../src/firewall/map";
import { imageOf, regionOf, sizeOf } from "../src/functions/map";
import { projectFields, projectResourcesFields } from "../src/project/map";
import { digitaloceanProvider, version } from "../src/provider";
import { assignmentFields, reservedIpFields } from "../src/reserved-ip/map";
import { sshKeyFields } from "../src/ssh-key/map";
import { tagFields } from "../src/tag/map";
import { volumeAttachmentFields } from "../src/volume/attachment";
import { volumeFields } from "../src/volume/map";
import { vpcFields } from "../src/vpc/map";
import { closeServers, TOKEN } from "./support";

closeServers();

const sdk = dirname(require.resolve("@pulumi/digitalocean/package.json"));

interface Member {
  readonly name: string;
  readonly optional: boolean;
  readonly type: string;
}

function source(file: string): ts.SourceFile {
  return ts.createSourceFile(file, readFileSync(join(sdk, file), "utf8"), ts.ScriptTarget.Latest, true);
}

/** Members of an interface or class of a declaration file, without statics and methods. */
function members(file: ts.SourceFile, name: string): Member[] {
  const found: Member[] = [];
  const visit = (node: ts.Node): void => {
    if ((ts.isInterfaceDeclaration(node) || ts.isClassDeclaration(node)) && node.name?.text === name) {
      for (const member of node.members) {
        const plain = ts.isPropertySignature(member) || ts.isPropertyDeclaration(member);
        if (!plain || member.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.StaticKeyword)) continue;
        const type = member.type?.getText() ?? "";
        found.push({ name: member.name.getText(), optional: member.questionToken !== undefined, type });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  if (found.length === 0) throw new Error(`${file.fileName}: no ${name} with members`);
  return found;
}

const names = (list: readonly Member[]): string[] => list.map(({ name }) => name).sort();
const types: Record<string, RegExp> = {
  string: /\bstring\b/,
  integer: /\bnumber\b/,
  number: /\bnumber\b/,
  boolean: /\bboolean\b/,
  array: /\[\]/,
  object: /(inputs|outputs)\./,
};

const tables: Record<string, Fields> = {
  dnsRecord: recordFields,
  droplet: dropletFields,
  firewall: firewallFields,
  project: projectFields,
  projectResources: projectResourcesFields,
  reservedIp: reservedIpFields,
  reservedIpAssignment: assignmentFields,
  sshKey: sshKeyFields,
  tag: tagFields,
  volume: volumeFields,
  volumeAttachment: volumeAttachmentFields,
  vpc: vpcFields,
};

const className = (kind: string): string => kind.charAt(0).toUpperCase() + kind.slice(1);

describe.each(Object.entries(tables))("%s", (kind, fields) => {
  const file = source(`${kind}.d.ts`);
  it("has inputs of the SDK, of the same types, and demands the same", () => {
    const args = members(file, `${className(kind)}Args`);
    for (const [name, field] of Object.entries(fields)) {
      if (field.output === true) continue;
      const { optional, type } = args.find((member) => member.name === name) ?? { type: `no ${name}` };
      expect([name, field.required === true]).toEqual([name, !optional]);
      expect(type, name).toMatch(types[field.type] as RegExp);
    }
    const demanded = names(args.filter(({ optional }) => !optional));
    expect(Object.keys(fields)).toEqual(expect.arrayContaining(demanded));
  });
  it("has outputs of the SDK", () => {
    expect(names(members(file, className(kind)))).toEqual(expect.arrayContaining(Object.keys(fields)));
  });
  it("is served under the SDK's type token", () => {
    const code = readFileSync(join(sdk, `${kind}.js`), "utf8");
    const token = /__pulumiType = '([^']+)'/.exec(code)?.[1] ?? "";
    expect(Object.keys(digitaloceanProvider().resources)).toContain(token);
  });
});

describe("nested properties", () => {
  const inputs = source("types/input.d.ts");
  it.each<[string, Fields | undefined]>([
    ["FirewallInboundRule", firewallFields.inboundRules?.items?.properties],
    ["FirewallOutboundRule", firewallFields.outboundRules?.items?.properties],
  ])("%s are the SDK's", (name, fields) => {
    expect(Object.keys(fields ?? {}).sort()).toEqual(names(members(inputs, name)));
  });
});

describe("functions", () => {
  const functions = digitaloceanProvider({ DIGITALOCEAN_TOKEN: TOKEN }).functions ?? {};
  const argsOf = (name: string) => functions[`digitalocean:index/${name}:${name}`]?.inputs ?? {};
  it.each(["getRegions", "getSizes", "getImage"])("%s takes the SDK's arguments", (name) => {
    expect(Object.keys(argsOf(name)).sort()).toEqual(
      names(members(source(`${name}.d.ts`), `${className(name)}Args`)),
    );
  });
  const outputs = source("types/output.d.ts");
  it.each<[string, Props, Member[]]>([
    [
      "getImage",
      { ...imageOf({ id: 1 }), source: "user" },
      members(source("getImage.d.ts"), "GetImageResult"),
    ],
    ["a region", regionOf({ slug: "s" }), members(outputs, "GetRegionsRegion")],
    ["a size", sizeOf({ slug: "s" }), members(outputs, "GetSizesSize")],
  ])("%s answers with properties of the SDK", (_, result, expected) => {
    expect(names(expected)).toEqual(expect.arrayContaining(Object.keys(result)));
  });
});

describe("the provider", () => {
  it("takes the SDK's configuration and has its version", () => {
    expect(Object.keys(digitaloceanProvider().config ?? {}).sort()).toEqual(
      names(members(source("provider.d.ts"), "ProviderArgs")),
    );
    expect(version).toBe(
      (JSON.parse(readFileSync(join(sdk, "package.json"), "utf8")) as { version: string }).version,
    );
  });
});
