/** The document: the official plugin's bytes, the same each time, and readable for whoever reads MIME. */
import { execFileSync } from "node:child_process";
import type { Props } from "@berth/plugin-base";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { render } from "../src/render";
import { problemsOf } from "../src/schema";
import { recorded } from "./support";

describe("a document", () => {
  it.each(recorded.documents)("has the official bytes and id: $name", ({ inputs, rendered, id }) => {
    expect(render(inputs)).toEqual({ rendered, id });
  });

  it("is the same with the defaults written out", () => {
    const parts = [{ content: "x".repeat(1000) }];
    const written = { base64Encode: true, boundary: "MIMEBOUNDARY" };
    expect(render({ ...written, parts: [{ ...parts[0], contentType: "text/plain" } as Props] })).toEqual(
      render({ parts }),
    );
  });

  it("has the same text inside, encoded or not", () => {
    const parts = [{ content: "#!/bin/sh\necho grüße\n", filename: "first.sh" }];
    const plain = render({ base64Encode: false, parts }).rendered;
    const encoded = Buffer.from(render({ parts }).rendered, "base64");
    expect(encoded.toString()).toBe(plain);
  });

  it("gives its parts back to a reader, whatever they hold", () => {
    const text = fc.oneof(
      fc.string({ unit: fc.constantFrom("a", "-", "\n", " ", "#", "B") }),
      fc.string({ unit: "grapheme" }).map((value) => value.replaceAll("\r", "")),
    );
    const part = fc.record(
      {
        content: text,
        contentType: fc.constantFrom("text/cloud-config", "text/x-shellscript"),
        filename: fc.stringMatching(/^[a-z]{1,8}\.(sh|yaml)$/),
        mergeType: fc.constant("list(append)+dict(recurse_array)+str()"),
      },
      { requiredKeys: ["content"] },
    );
    const documents = fc
      .sample(fc.array(part, { minLength: 1, maxLength: 4 }), { numRuns: 40, seed: 7 })
      .filter((parts) => problemsOf({ gzip: false, boundary: "B", parts }).length === 0);
    expect(documents.length).toBeGreaterThan(30);
    const rendered = documents.map((parts) => render({ boundary: "B", parts }).rendered);
    expect(read(rendered)).toEqual(
      documents.map((parts) =>
        parts.map(({ content, contentType = "text/plain", filename = null, mergeType = null }) => ({
          content,
          contentType,
          filename,
          mergeType,
        })),
      ),
    );
  });
});

/** Reads documents as cloud-init does, with Python's own MIME reader. */
function read(documents: readonly string[]): unknown {
  const program = `
import base64, email, json, sys
out = []
for text in json.load(sys.stdin):
    message = email.message_from_bytes(base64.b64decode(text))
    out.append([{"content": part.get_payload(decode=True).decode("utf-8"), "contentType": part.get_content_type(),
                 "filename": part.get_filename(), "mergeType": part.get("X-Merge-Type")} for part in message.get_payload()])
print(json.dumps(out))
`;
  return JSON.parse(
    execFileSync("python3", ["-c", program], { input: JSON.stringify(documents) }).toString(),
  );
}
