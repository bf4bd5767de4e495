/** What components read from the answers of commands. */
import * as pulumi from "@pulumi/pulumi";
import { expect, it } from "vitest";
import { answer } from "../../../components/known";

const settled = <T>(value: pulumi.Output<T>) => new Promise<T>((resolve) => value.apply(resolve));
const read = (text: string) => JSON.parse(text) as { ref: string };

it("is read from what the command printed", async () => {
  const said = answer(pulumi.output('{"ref":"a"}'), read);
  expect(await settled(said.ref)).toBe("a");
});

it("is unknown where an update left the command out before it ever ran", async () => {
  // The engine gives a resource that it skips no outputs.
  const left = pulumi.output(undefined) as unknown as pulumi.Output<string>;
  const said = answer(left, read).ref as unknown as { isKnown: Promise<boolean> };
  expect(await said.isKnown).toBe(false);
});
