import { lookup, Resolver } from "node:dns/promises";

/** For all of one question, in milliseconds. */
const deadline = 5000;

/** As each program of the machine finds a host: /etc/hosts too. */
export async function lookupHere(host: string): Promise<string[]> {
  return (await lookup(host, { all: true, order: "ipv4first" })).map(({ address }) => address);
}

/**
 * As DNS has it. Somebody else chose the name, and may have a name server that never answers: `lookupHere` would wait for
 * it in one of the few threads that files are read in as well, and nothing could end that.
 *
 * @param servers name servers to ask, `ADDRESS:PORT`. @default the machine's
 * @throws with the code of node:dns, `ENOTFOUND` and `ETIMEOUT` among them
 */
export async function lookupDns(host: string, servers?: readonly string[]): Promise<string[]> {
  const resolver = new Resolver({ timeout: 2000, tries: 2 });
  if (servers) resolver.setServers(servers);
  const late = setTimeout(() => resolver.cancel(), deadline);
  try {
    const both = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
    const addresses = both.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
    if (addresses.length > 0) return addresses;
    const why = both.flatMap((one) => (one.status === "rejected" ? [one.reason] : []));
    // That there is none of one family says less than what kept the other from being found.
    throw why.find(({ code }) => code !== "ENODATA") ?? why[0] ?? new Error("no address");
  } finally {
    clearTimeout(late);
  }
}
