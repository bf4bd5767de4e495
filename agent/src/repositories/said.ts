/** What a program prints, as lines that may be shown: bounded, without secrets, without what terminals obey. Pure. */

/** In bytes. */
const LONGEST = 4096;
const MOST = 300;
/** Those that an error repeats. */
const LAST = 8;

export class Said {
  private readonly parts: Buffer[] = [];
  private bytes = 0;
  private count = 0;
  private readonly last: string[] = [];

  constructor(
    private readonly secrets: readonly string[],
    private readonly onLine: (line: string) => void = () => {},
  ) {}

  /** The end of it. */
  get text(): string {
    return this.last.join("; ");
  }

  push(part: Buffer): void {
    let from = 0;
    for (let at = 0; at < part.length; at++) {
      // A line ends with a line feed, or where a program would write over it.
      if (part[at] !== 10 && part[at] !== 13) continue;
      this.keep(part.subarray(from, at));
      this.line();
      from = at + 1;
    }
    this.keep(part.subarray(from));
  }

  /** What stands behind the last end of a line is a line too. */
  end(): void {
    this.line();
  }

  private keep(part: Buffer): void {
    this.bytes += part.length;
    if (this.bytes <= LONGEST) this.parts.push(Buffer.from(part));
    else this.parts.length = 0;
  }

  private line(): void {
    const text = this.bytes > LONGEST ? `(a line of ${this.bytes} bytes is left out)` : this.readable();
    this.parts.length = 0;
    this.bytes = 0;
    if (text === "") return;
    this.last.push(text);
    if (this.last.length > LAST) this.last.shift();
    this.count++;
    if (this.count < MOST) this.onLine(text);
    else if (this.count === MOST) this.onLine("(more lines are left out)");
  }

  /** Without controls first: a secret with one in its middle would not be found. */
  private readable(): string {
    const text = Buffer.concat(this.parts)
      .toString("utf8")
      .replace(/[\p{Cc}\p{Cs}]/gu, "");
    return cut(withoutSecrets(text, this.secrets).trimEnd());
  }
}

const withoutSecrets = (text: string, secrets: readonly string[]) =>
  secrets.reduce((rest, secret) => rest.replaceAll(secret, "[token]"), text);

/** A byte that is no text stands as three. */
function cut(line: string): string {
  const bytes = Buffer.from(line);
  if (bytes.length <= LONGEST) return line;
  return new TextDecoder().decode(bytes.subarray(0, LONGEST), { stream: true });
}
