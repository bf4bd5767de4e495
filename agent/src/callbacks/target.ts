import { type Refusal, type Result, refuse } from "../../../core/gpu";
import { isListed } from "../outgoing";
import { PlacesOfEach } from "../places";
import { Rate } from "../rate";

/** Where messages go, and the secret that sender and receiver share. */
export interface CallbackTarget {
  url: string;
  secret: string;
}

export interface TargetRules {
  /** Hosts and networks that the operator allows: only to these berthd speaks http. */
  allowed: readonly string[];
  resolve(host: string): Promise<Result<string[]>>;
  /** For the operator: why a host is refused. */
  log: { warn(data: object, message: string): void };
}

const longestUrl = 2048;
/** It stands in a header: no spaces and no line ends. */
const SECRET = /^[\x21-\x7e]{1,512}$/;

/** Looks at hosts for one owner: so many at a time, and so many more that wait. Each asks DNS. */
const atOnce = 4;
const mostWaiting = 32;
/** Refusals a minute for one owner of which the log has the reason: who tries hosts on and on fills nobody's disk. */
const mostNotes = 60;

/**
 * Judges targets before a message is sent there. Whoever names a host is not told what becomes of it in DNS: this node's
 * DNS may know names that are nobody else's business, and so may its network. The operator's log has it.
 */
export class CallbackTargets {
  private readonly looks = new PlacesOfEach(atOnce, mostWaiting);
  private readonly notes = new Rate();

  constructor(private readonly rules: TargetRules) {}

  /**
   * All that is wrong with a target of that owner; each text begins with the field of the request.
   *
   * @param owner a person or a tenant, as `accountOf` has it
   * @returns a refusal, `full`, where nothing is wrong with the texts and the host cannot be looked at now
   */
  async problems(owner: string, { url, secret }: CallbackTarget): Promise<Result<string[]>> {
    const known = this.inItself(url);
    const host = known === undefined ? await this.hostProblem(owner, new URL(url).hostname) : undefined;
    if (host?.ok === false && SECRET.test(secret)) return host;
    const wrong = known ?? (host?.ok ? host.value : undefined);
    const problems = [
      ...(wrong === undefined ? [] : [`callbackUrl: ${wrong}`]),
      ...(SECRET.test(secret) ? [] : ["callbackSecret: allowed are 1 to 512 visible characters of ASCII"]),
    ];
    return { ok: true, value: problems };
  }

  private inItself(text: string): string | undefined {
    if (text.length > longestUrl) return `is longer than ${longestUrl} characters`;
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url?.protocol !== "https:" && url?.protocol !== "http:") return "is no URL that begins with https://";
    if (url.username !== "" || url.password !== "")
      return "has a user in it; berthd sends callbackSecret instead, in the header Authorization";
    const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
    if (url.protocol === "http:" && !isListed(host, this.rules.allowed))
      return "begins with http://, which anybody on the way can read; use https://, or ask the operator to allow the host";
    return undefined;
  }

  private async hostProblem(owner: string, host: string): Promise<Result<string | undefined>> {
    const giveBack = await this.looks.take(owner);
    if (giveBack === undefined) return refuse(tooManyLooks);
    const found = await this.rules.resolve(host).finally(giveBack);
    return { ok: true, value: found.ok ? undefined : this.refused(owner, found.refusal) };
  }

  private refused(owner: string, { code, message, allowed }: Refusal): string {
    // Of the text alone: nothing was asked.
    if (code === "bad-request") return `${message}; allowed: ${allowed}`;
    if (this.notes.take(owner, mostNotes) === 0)
      this.rules.log.warn({ owner, code, reason: message }, "a callback URL is refused");
    return NOT_THERE;
  }
}

const tooManyLooks: Refusal = {
  code: "full",
  message: `callbackUrl: its host cannot be looked at now: ${atOnce + mostWaiting} others of yours are`,
  allowed: `${atOnce} of one owner at a time, and ${mostWaiting} that wait`,
  fix: "send the same request again in a few seconds",
};

/** One for all: whether a name is there, is private or is the node's own would tell of the node's network. */
const NOT_THERE =
  "this node sends nothing to that host; allowed: hosts with an address of the Internet, and those that the operator of the node allows; check how it is written, try again later, or ask the operator: berthd's log says what is wrong";
