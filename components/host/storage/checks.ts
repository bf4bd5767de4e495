/** What single values of a storage specification may be. Pure. */
import { checkPath, StageOptionError } from "../shell";

/** Options of mount(8) or exports(5), one each. @throws StageOptionError */
export function checkOptions(spec: { options?: readonly string[] }, where: string): readonly string[] {
  return (spec.options ?? []).map((option, i) => {
    if (!/^[A-Za-z0-9_.=:/@%+-]+$/.test(option)) {
      throw new StageOptionError(`${where}.options[${i}]`, option, "one mount option, such as 'discard'");
    }
    return option;
  });
}

/** A path that fstab, exports and /etc/projects take without escapes. @throws StageOptionError */
export function checkWords(value: string, where: string): string {
  if (!/^[A-Za-z0-9._/+@-]+$/.test(checkPath(value, where))) {
    throw new StageOptionError(where, value, "a path of letters, digits, '.', '_', '+', '@' and '-'");
  }
  return value;
}

const SYSTEM = [
  "bin",
  "boot",
  "dev",
  "etc",
  "lib",
  "lib32",
  "lib64",
  "proc",
  "root",
  "run",
  "sbin",
  "sys",
  "usr",
];

/** A place to mount something at. @throws StageOptionError for what the system needs as it is */
export function checkMount(value: string, where: string): string {
  const first = checkWords(value, where).split("/")[1] ?? "";
  if (SYSTEM.includes(first) || ["/var", "/var/lib", "/tmp"].includes(value)) {
    throw new StageOptionError(where, value, "a place that is not the system's own, such as '/data'");
  }
  return value;
}

/** A name of a volume or a group: lvm(8), "VALID NAMES", less what needs care in a path. @throws StageOptionError */
export function checkLvmName(value: string, where: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.+]{0,62}$/.test(value)) {
    throw new StageOptionError(
      where,
      value,
      "1 to 63 letters, digits, '_', '.' and '+', a letter or digit first",
    );
  }
  return value;
}

/** @throws StageOptionError for the first value that stands there twice */
export function unique(values: readonly string[], where: string, allowed: string): void {
  const twice = values.find((value, i) => values.indexOf(value) !== i);
  if (twice !== undefined) throw new StageOptionError(where, twice, allowed);
}
