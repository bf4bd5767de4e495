/**
 * Text that a program gets. Proves: everything that takes such a text (an argument of a container that somebody asks for, one of
 * a template's health check, a value of the environment) takes the same, and says the same of the rest.
 */
import { describe, expect, it } from "vitest";
import { createSchema } from "../../../agent/src/containers/request";
import { environmentSchema, templateSchema } from "../../../core/manager";
import { argumentSchema } from "../../../core/text";

const said = (read: { error?: { issues: { message: string }[] } }) =>
  read.error?.issues.map(({ message }) => message) ?? [];

describe("a text for a program", () => {
  const readers: [string, (text: string) => string[]][] = [
    ["the command of a container", (text) => said(createSchema.safeParse({ command: ["a", text] }))],
    ["its entrypoint", (text) => said(createSchema.safeParse({ entrypoint: [text] }))],
    ["a value of its environment", (text) => said(createSchema.safeParse({ env: { A: text } }))],
    ["a value of any environment", (text) => said(environmentSchema.safeParse({ A: text }))],
    [
      "the health check of a template",
      (text) => said(templateSchema.safeParse({ name: "web", image: "node", health: { command: [text] } })),
    ],
  ];

  it.each(readers)("is the same text in %s", (_what, read) => {
    for (const text of ["", "a", "two\nlines\t", "ü".repeat(32_768)]) expect(read(text)).toEqual([]);
    for (const text of ["x".repeat(32_769), "a\0b", "\0"]) {
      expect(read(text)).toHaveLength(1);
      expect(read(text)).toEqual(said(argumentSchema.safeParse(text)));
    }
  });

  it("has no NUL in the folder either, where a container's program starts", () => {
    expect(said(createSchema.safeParse({ workdir: "/a\0b" }))).toEqual(["has a NUL character"]);
  });
});
