/** The NVIDIA driver: found, judged, and installed where configuration asks for it and there is none. Bash. */

import { scriptsOf } from "../script";
import { quote } from "../shell";
import { KEYS } from "./keys";
import type { DriverOptions } from "./options";

const script = scriptsOf(__dirname);

/** NVIDIA's container toolkit, "Platform requirements": the oldest driver it works with. */
export const DRIVER_FLOOR = "418.81.07";

/** The key of NVIDIA's CUDA repositories since 2022 (developer.nvidia.com: "Updating the CUDA Linux GPG Repository Key"). */
export const CUDA_KEY = "EB693B3035CD5710E231E123A4B469963BF863CC";

/** The driver: found, and installed where that is asked for. */
export function driverStep(driver: DriverOptions): string {
  const { version = "", key = "" } = driver.install ? driver : {};
  const values = `wanted=${quote(version)} modules_package=${modulesPackage(driver)} driver_floor=${DRIVER_FLOOR}`;
  const install = [KEYS, `cuda_key=${CUDA_KEY} driver_key=${quote(key)}`, script("driver-install.sh")];
  return [values, script("driver-look.sh"), ...(driver.install ? install : []), script("driver.sh")].join(
    "\n",
  );
}

/** NVIDIA's driver guide, Debian and Ubuntu: `nvidia-open` for the open kernel modules, `cuda-drivers` for the others. */
const modulesPackage = (driver: DriverOptions) =>
  driver.install && driver.modules === "proprietary" ? "cuda-drivers" : "nvidia-open";
