import { SYSTEM } from "../../core/containers";
import { sliceWord } from "../../core/limits";
import {
  GIT_FLOOR,
  imageAllowed,
  imageText,
  isImagePattern,
  parseImageName,
  SYSTEMS_WITH_GIT,
} from "../../core/manager";
import { USER_NAME } from "../../core/names";
import { isHost, NETWORK_RULE, readNetwork } from "../../core/net";
import { PLAIN_PATH } from "../machines/ssh-keys";
import { checkNetworks, checkPublicAddress } from "../network/check";
import { type Report, reportTwin } from "../problems";
import type { StackConfig } from "../schema";
import { managerNodes, templatesOf } from "./resolve";
import type { ManagerConfig } from "./schema";

/** `berth:manager`: what a shape cannot say. Pure. */

type Checked = (config: StackConfig, manager: ManagerConfig, report: Report) => void;

export function checkManager(config: StackConfig, report: Report): void {
  if (!config.manager) return;
  for (const check of CHECKS) check(config, config.manager, report);
}

/** Of the systems that droplets may have: see `SYSTEMS_WITH_GIT`. */
const OLD_GIT = /^ubuntu-22-/;

const checkPlaces: Checked = (config, manager, report) => {
  const names = config.nodes.map(({ name }) => name);
  for (const [i, name] of (manager.nodes ?? []).entries()) {
    const path = `manager.nodes[${i}]`;
    if (!names.includes(name))
      report(
        path,
        name,
        "is no node of this stack",
        `some of ${names.join(", ")}; all of them without the key`,
      );
    else if ((manager.nodes?.indexOf(name) ?? i) < i)
      report(path, name, "stands in the list already", "each node once");
  }
  for (const [i, node] of config.nodes.entries())
    if (node.kind === "digitalocean" && managerNodes(config).includes(node.name) && OLD_GIT.test(node.image))
      report(
        `nodes[${i}].image`,
        node.image,
        `has an older git than ${GIT_FLOOR}, which the container manager needs`,
        `an image of ${SYSTEMS_WITH_GIT}; or manager.nodes without this one`,
      );
  for (const key of ["listen", "publish"] as const)
    if (manager[key] === "public") checkPublicAddress(config, managerNodes(config), `manager.${key}`, report);
  checkNetworks("manager.allow", manager.allow, report);
};

/** What stands between a token and everybody on the way. */
const checkEncryption: Checked = (_config, { listen, tls, plainHttp, urls }, report) => {
  const open = listen === "public";
  if (open && !tls && !plainHttp)
    report(
      "manager.listen",
      listen,
      "offers the manager to the Internet without encryption: tokens, and what runs in containers, can be read on the way",
      "tls: {certificate, key}; or listen: private or loopback, behind a proxy with TLS; or, if you accept it, plainHttp: true",
    );
  if (plainHttp && tls) report("manager.plainHttp", true, "cannot be used with tls", "one of the two");
  if (plainHttp && !tls && !open)
    report(
      "manager.plainHttp",
      true,
      "says nothing where the manager does not listen in public, and would open it unnoticed when it does",
      'left out, or with listen: "public"',
    );
  for (const part of ["certificate", "key"] as const) checkFile(part, tls?.[part], report);
  for (const [node, url] of Object.entries(urls)) checkUrl(node, url, tls !== undefined, report);
};

/** berthd sees no homes, and has a /tmp of its own. */
const UNSEEN = /^\/(home|root|tmp|var\/tmp|run\/user)(\/|$)/;

function checkFile(part: "certificate" | "key", path: string | undefined, report: Report): void {
  if (path === undefined) return;
  const rule = 'the path of a file of the node, such as "/etc/ssl/manager/key.pem"';
  if (!PLAIN_PATH.test(path) || !path.startsWith("/") || path.split("/").includes(".."))
    report(`manager.tls.${part}`, path, "is no path of a file", rule);
  else if (UNSEEN.test(path))
    report(
      `manager.tls.${part}`,
      path,
      "lies where berthd sees nothing",
      `${rule}; not below /home, /root or /tmp`,
    );
}

function checkUrl(node: string, text: string, encrypted: boolean, report: Report): void {
  const path = `manager.urls.${node}`;
  const rule = `"${encrypted ? "https" : "http"}://HOST:PORT", without user, query and fragment`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const plain = url && /^https?:$/.test(url.protocol) && !url.username && !url.password && !/[?#]/.test(text);
  if (!url || !plain) report(path, text, "is no address of the manager", rule);
  else if (encrypted && url.protocol !== "https:")
    report(path, text, "is plain HTTP, and the manager speaks TLS (manager.tls)", rule);
}

const checkUrls: Checked = (config, { urls }, report) => {
  const names = managerNodes(config);
  for (const node of Object.keys(urls))
    if (!names.includes(node))
      report(
        `manager.urls.${node}`,
        urls[node],
        "is the address of no node that has the manager",
        `addresses of ${names.join(", ")}`,
      );
};

const checkTenants: Checked = ({ users }, { tenants }, report) => {
  for (const [i, { name }] of tenants.entries()) {
    const path = `manager.tenants[${i}].name`;
    if (!USER_NAME.test(name))
      report(
        path,
        name,
        "is no name of a tenant",
        "a lower-case letter, then lower-case letters, digits, '_' or '-', at most 32",
      );
    if (name === SYSTEM)
      report(
        path,
        name,
        "is what Berth's own containers, and those that nobody has yet, are labelled with",
        "another name",
      );
    reportTwin(tenants, i, { list: "manager.tenants", what: "tenant", report });
    const user = users.findIndex((one) => one.name === name);
    if (user >= 0)
      report(
        path,
        name,
        `is the name of users[${user}] too`,
        "a name that no user has, removed ones included",
      );
  }
};

/** Whoever deletes for good says so of what the stack has given up already. */
const checkPurge: Checked = (config, { purge, tenants }, report) => {
  const all = config.nodes.map(({ name }) => name);
  const having = managerNodes(config);
  for (const [i, name] of purge.tenants.entries()) {
    const path = `manager.purge.tenants[${i}]`;
    if (tenants.some((one) => one.name === name))
      report(path, name, "stands in manager.tenants too", "tenants that were taken out of manager.tenants");
    else if (!USER_NAME.test(name))
      report(path, name, "is no name of a tenant", "a name that stood in manager.tenants");
  }
  for (const [i, name] of purge.nodes.entries()) {
    const path = `manager.purge.nodes[${i}]`;
    const rule = "nodes of the stack that do not have the manager: manager.nodes without them";
    if (!all.includes(name)) report(path, name, "is no node of this stack", rule);
    else if (having.includes(name)) report(path, name, "has the manager still", rule);
  }
};

const checkImages: Checked = (_config, { images, templates }, report) => {
  const rule = 'a name ("node:24-slim"), all or some tags of one ("node:*", "node:24-*"), or a digest';
  for (const [i, pattern] of images.allowed.entries())
    if (!isImagePattern(pattern))
      report(`manager.images.allowed[${i}]`, pattern, "is no pattern of images", rule);
  const asked = imageAllowed(images.default, { patterns: images.allowed, ownImages: [] });
  if (!asked.ok)
    report(
      "manager.images.default",
      images.default,
      "is none of the images that a request may name",
      asked.refusal.code === "not-allowed" ? images.allowed.join(", ") : (asked.refusal.allowed ?? rule),
    );
  const all = templatesOf({ images, ...(templates ? { templates } : {}) });
  for (const i of all.keys()) reportTwin(all, i, { list: "manager.templates", what: "template", report });
};

/** One spelling for each name, less one with a digest, which says what is in the image; undefined: it is none. */
function plainName(text: string): string | undefined {
  const name = parseImageName(text);
  return name.ok && name.value.digest === undefined ? imageText(name.value) : undefined;
}

const checkStandIn: Checked = (_config, { images, templates }, report) => {
  const asked = [
    ...images.allowed,
    images.default,
    ...templatesOf({ images, ...(templates ? { templates } : {}) }).map(({ image }) => image),
  ];
  const names = images.standIn.map(plainName);
  for (const [i, name] of names.entries()) {
    const path = `manager.images.standIn[${i}]`;
    const text = images.standIn[i];
    if (name === undefined)
      report(
        path,
        text,
        "is no name that another image can stand in for",
        'a name with its tag ("node:24-slim")',
      );
    else if (names.indexOf(name) < i)
      report(path, text, `is standIn[${names.indexOf(name)}] too`, "each name once");
    else if (!imageAllowed(name, { patterns: asked, ownImages: [] }).ok)
      report(path, text, "is none of the images that a request may name", asked.join(", "));
  }
};

const checkHosts: Checked = (_config, { repositories: { hosts }, callbacks }, report) => {
  for (const [i, { host, port, insecure }] of hosts.entries()) {
    const path = `manager.repositories.hosts[${i}].host`;
    if (!isHost(host)) report(path, host, "is no host", "a DNS name, or an IPv4 or IPv6 address");
    const same = hosts.findIndex(
      (other) =>
        other.host.toLowerCase() === host.toLowerCase() && other.port === port && other.insecure === insecure,
    );
    if (same < i) report(path, host, `is repositories.hosts[${same}] too`, "each host once");
  }
  for (const [i, entry] of callbacks.allowed.entries())
    if (!isHost(entry) && "problem" in readNetwork(entry))
      report(
        `manager.callbacks.allowed[${i}]`,
        entry,
        "is neither a host nor a network",
        `a DNS name, ${NETWORK_RULE}`,
      );
};

const checkOrigins: Checked = (_config, { origins }, report) => {
  for (const [i, origin] of origins.entries()) {
    const url = URL.canParse(origin) ? new URL(origin) : undefined;
    if (url?.protocol !== "https:" || url.origin !== origin)
      report(
        `manager.origins[${i}]`,
        origin,
        "is no origin of pages",
        '"https://HOST" or "https://HOST:PORT" in lower case, without a slash at the end',
      );
  }
};

/** What the manager starts beside containers is in a slice of this name. */
const checkSlices: Checked = ({ limits }, _manager, report) => {
  for (const group of Object.keys(limits.groups ?? {}))
    if (sliceWord(group) === "manager")
      report(
        `limits.groups.${group}`,
        group,
        "would have the slice berth-manager, which is the container manager's",
        "another name for the group",
      );
};

const checkReserve: Checked = (config, { reserve }, report) => {
  const names = managerNodes(config);
  for (const [i, node] of config.nodes.entries())
    if (names.includes(node.name) && node.memory <= reserve)
      report(
        `nodes[${i}].memory`,
        node.memory,
        "leaves no memory for containers of back-ends: manager.reserve is as much",
        "more memory, or a smaller reserve",
      );
};

const CHECKS: readonly Checked[] = [
  checkPlaces,
  checkEncryption,
  checkUrls,
  checkTenants,
  checkPurge,
  checkImages,
  checkStandIn,
  checkHosts,
  checkOrigins,
  checkSlices,
  checkReserve,
];
