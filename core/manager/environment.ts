/** What the environment of a container may be, whoever asks for it. Pure. */
import { z } from "zod";
import { argumentSchema } from "../text";

const MOST_BYTES = 131_072;
const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,127}$/;

/**
 * NVIDIA's runtime and its CDI mode read these: GPUs come by grant alone. What programs themselves read, such as
 * NVIDIA_TF32_OVERRIDE, is free.
 */
const RESERVED =
  /^NVIDIA_(VISIBLE_DEVICES|DRIVER_CAPABILITIES|REQUIRE_.*|DISABLE_REQUIRE|MIG_.*|IMEX_CHANNELS|GDS|MOFED|GDRCOPY|NVSWITCH|CTK_.*)$/;

function nameFault(name: string): string | undefined {
  if (!NAME.test(name))
    return "is no name of a variable: letters, digits and '_', no digit first, at most 128";
  return RESERVED.test(name) ? "is set by Berth: GPUs come by grant alone; leave it out" : undefined;
}

/** As the kernel counts them: `NAME=value` and a NUL each. */
export const environmentBytes = (record: Readonly<Record<string, string>>) =>
  Object.entries(record).reduce((sum, [name, text]) => sum + Buffer.byteLength(name + text) + 2, 0);

/** Variables by name: values of at most 32,768 characters without NUL, 131,072 bytes in all. Values may have lines. */
export const environmentSchema = z.record(z.string(), argumentSchema).superRefine((record, context) => {
  for (const name of Object.keys(record)) {
    const message = nameFault(name);
    if (message !== undefined) context.addIssue({ code: "custom", path: [name], message });
  }
  const bytes = environmentBytes(record);
  if (bytes > MOST_BYTES)
    context.addIssue({
      code: "custom",
      path: [],
      message: `${bytes} bytes in all, and ${MOST_BYTES} are allowed`,
    });
});
