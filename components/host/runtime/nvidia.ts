/** NVIDIA's container toolkit, its CDI devices, and the driver's persistence. Bash. */

import { scriptsOf } from "../script";
import { KEYS } from "./keys";

const script = scriptsOf(__dirname);

/**
 * The oldest toolkit taken. Below it are known ways from an image to the host (CVE-2024-0132, CVE-2025-23359,
 * CVE-2025-23266, CVE-2026-24260) and environment variables that outrank "no GPU".
 */
const TOOLKIT_FLOOR = "1.20.0";

/** NVIDIA's signing key for the toolkit's repository, as published at nvidia.github.io/libnvidia-container/gpgkey. */
const TOOLKIT_KEY = "C95B321B61E88C1809C4F759DDCAE044F796ECB0";

/** Steps behind the driver's do nothing without one. */
export const WITH_DRIVER = `if [ "$(cat "$work/gpu")" != driver ]; then return 0; fi`;

export const UNITS = script("units.sh");

export const persistenceStep = (wanted: boolean): string =>
  wanted
    ? [WITH_DRIVER, UNITS, script("persistence-on.sh")].join("\n")
    : [UNITS, script("persistence-off.sh")].join("\n");

export const TOOLKIT = [
  WITH_DRIVER,
  KEYS,
  `toolkit_floor=${TOOLKIT_FLOOR} toolkit_key=${TOOLKIT_KEY}`,
  script("toolkit.sh"),
].join("\n");

export const CDI = [WITH_DRIVER, UNITS, script("cdi.sh")].join("\n");

export const REBOOT = script("reboot.sh");
