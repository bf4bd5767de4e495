/** What registries and Docker say of an image that did not come, as it is told. Proves: only who answered that there is none is said to have none. */
import { expect, it } from "vitest";
import { registryWords } from "../../../../agent/src/docker";

it.each([
  "manifest for node:99 not found: manifest unknown: manifest unknown",
  "pull access denied for nobody/none, repository does not exist or may require 'docker login'",
  'failed to resolve reference "docker.io/library/node:99": docker.io/library/node:99: not found',
  "no matching manifest for linux/arm64/v8 in the manifest list entries",
  "name unknown: repository name not known to registry",
  "unauthorized: access to the requested resource is not authorized",
  'Head "https://ghcr.io/v2/a/b/manifests/1": denied',
  "pull access denied, insufficient_scope: authorization failed",
])("a registry that has none of the name, or hides it, is said to: %s", (message) => {
  expect(registryWords({ message })).toContain("has none of that name");
});

it.each([
  'Get "https://registry.example/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority',
  'Get "https://registry.example/v2/": dial tcp: lookup registry.example on 127.0.0.53:53: no such host',
  'Head "https://registry.example/v2/a/manifests/1": remote error: tls: unknown certificate',
  "dial unix /run/proxy.sock: connect: permission denied",
  "received unexpected HTTP status: 502 Bad Gateway",
])("one that did not answer is not said to have none: %s", (message) => {
  expect(registryWords({ message })).toBe("its registry could not be asked");
});

it.each([
  ["toomanyrequests: You have reached your pull rate limit", "takes no more requests"],
  ["write /var/lib/docker/tmp/x: no space left on device", "the node's disk has no room"],
])("what has another reason is said with it: %s", (message, said) => {
  expect(registryWords({ message })).toContain(said);
});
