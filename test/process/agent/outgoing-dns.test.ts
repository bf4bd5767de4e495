/**
 * Names as DNS has them, asked of a real name server on loopback. Proves: addresses of both families are found, one
 * family without an answer does not hide the other, and a server that never answers costs a few seconds and no thread
 * that files are read in.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lookupDns } from "../../../agent/src/outgoing/lookup";

const [A, AAAA] = [1, 28];
const NXDOMAIN = 3;

/** The question of a query: its bytes, its name, its type. */
function questionOf(query: Buffer) {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join("."), type: query.readUInt16BE(at + 1), bytes: query.subarray(12, at + 5) };
}

function answerTo(query: Buffer, data: readonly Buffer[], code = 0): Buffer {
  const { bytes, type } = questionOf(query);
  const head = Buffer.alloc(12);
  query.copy(head, 0, 0, 2);
  head.writeUInt16BE(0x8180 | code, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(data.length, 6);
  const records = data.map((one) => {
    const record = Buffer.alloc(12);
    record.writeUInt16BE(0xc00c, 0);
    record.writeUInt16BE(type, 2);
    record.writeUInt16BE(1, 4);
    record.writeUInt32BE(60, 6);
    record.writeUInt16BE(one.length, 10);
    return Buffer.concat([record, one]);
  });
  return Buffer.concat([head, bytes, ...records]);
}

const four = Buffer.from([192, 0, 2, 7]);
const six = Buffer.from("20010db8000000000000000000000007", "hex");
const zone: Record<string, (type: number, query: Buffer) => Buffer | undefined> = {
  "both.test": (type, query) => answerTo(query, type === A ? [four] : [six]),
  "four.test": (type, query) => answerTo(query, type === A ? [four] : []),
  "six.test": (type, query) => answerTo(query, type === AAAA ? [six] : []),
  "halfmute.test": (type, query) => (type === A ? answerTo(query, [four]) : undefined),
  "empty.test": (_, query) => answerTo(query, []),
  "mute.test": () => undefined,
};

let server: Socket;
let servers: string[];
beforeAll(async () => {
  server = createSocket("udp4", (query, { port, address }) => {
    const { name, type } = questionOf(query);
    const answer = (zone[name.toLowerCase()] ?? ((_, asked) => answerTo(asked, [], NXDOMAIN)))(type, query);
    if (answer) server.send(answer, port, address);
  });
  server.bind(0, "127.0.0.1");
  await once(server, "listening");
  servers = [`127.0.0.1:${server.address().port}`];
});
afterAll(() => server.close());

describe("a name in DNS", () => {
  it.each([
    ["both.test", ["192.0.2.7", "2001:db8::7"]],
    ["four.test", ["192.0.2.7"]],
    ["six.test", ["2001:db8::7"]],
    ["halfmute.test", ["192.0.2.7"]],
  ])("has the addresses that there are: %s", async (host, addresses) => {
    expect(await lookupDns(host, servers)).toEqual(addresses);
  });

  it.each([
    ["empty.test", "ENODATA"],
    ["gone.test", "ENOTFOUND"],
  ])("without any says so: %s", async (host, code) => {
    await expect(lookupDns(host, servers)).rejects.toMatchObject({ code });
  });

  it("of a server that never answers ends, and holds up no reading of files meanwhile", async () => {
    const mute = Array.from({ length: 20 }, () =>
      lookupDns("mute.test", servers).catch(({ code }: NodeJS.ErrnoException) => code),
    );
    const ended = Promise.all(mute);
    const first = await Promise.race([ended, stat(__filename)]);
    expect(Array.isArray(first)).toBe(false);
    for (const code of await ended) expect(code).toMatch(/^(ETIMEOUT|ECANCELLED)$/);
  });
});
