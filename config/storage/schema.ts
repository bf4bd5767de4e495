import { z } from "zod";
import { parseSize, text } from "../values";

/** Shape of `berth:storage`, of a node's own, and of a node's fast network. Checked in check.ts. */

export const filesystem = z.enum(["ext4", "xfs"]);

/**
 * A device, named by what stays the same when cables and slots change. `lsblk -o NAME,SERIAL,UUID` shows both.
 *  - `serial`: a whole device. It is partitioned and gets its file system once, if it is empty.
 *  - `uuid`: a file system that is there. It is mounted and grown, never made. In `lvm.devices`: a physical volume of the group.
 */
const match = z.union(
  [z.strictObject({ serial: text }), z.strictObject({ uuid: text })],
  '{ serial: "…" } or { uuid: "…" }',
);

/**
 * `HOST:/path` with the path in its shortest form: a slash at the end and doubled ones say nothing, and the kernel shows a
 * mount without them.
 */
export function tidyExport(from: string): string {
  const at = from.indexOf(":/");
  const path = from.slice(at + 1).replace(/\/+/g, "/");
  return at < 0 ? from : `${from.slice(0, at)}:${path === "/" ? path : path.replace(/\/$/, "")}`;
}

const exported = text.trim().overwrite(tidyExport);

/** Sizes stay text here, as the storage stage takes them. */
const sized = (fits: (value: string) => boolean, allowed: string) =>
  z.string().superRefine((value, context) => {
    if (!fits(value)) context.addIssue({ code: "custom", message: "is not a size", params: { allowed } });
  });

const isSize = (value: string) => (parseSize(value) ?? 0) > 0;

const sizeText = sized(isSize, 'a number and a unit, such as "512MiB" or "8GiB"');

export const quota = z.strictObject({
  /** May be exceeded for the grace time of the file system: a week, unless the operator set another. */
  soft: sizeText,
  /** Never exceeded: writing fails with EDQUOT. */
  hard: sizeText,
});

/** `"100GiB"`, or `"50%"` of the volume group. */
const share = sized(
  (value) => isSize(value) || /^([1-9]\d?|100)%$/.test(value),
  'a size such as "100GiB", or a share of the group from "1%" to "100%"',
);

/** Mount options. They go behind Berth's own. */
const options = z.array(text).optional();

export const storage = z.strictObject({
  devices: z
    .array(
      z.strictObject({
        match,
        filesystem: filesystem.default("ext4"),
        mount: text,
        options,
      }),
    )
    .optional(),
  lvm: z
    .strictObject({
      group: text,
      /** What the group is made of. A device that leaves the list stays in the group. */
      devices: z.array(match).min(1),
      volumes: z
        .array(
          z.strictObject({
            name: text,
            /** The volume grows when this grows, and never shrinks. */
            size: share,
            filesystem: filesystem.default("ext4"),
            mount: text,
            options,
          }),
        )
        .min(1),
    })
    .optional(),
  nfs: z
    .strictObject({
      server: z
        .strictObject({
          exports: z
            .array(
              z.strictObject({
                path: text,
                /** Networks and addresses that may mount it. */
                to: z.array(text).min(1),
                /** Replace `rw`, `sync`, `no_subtree_check` and `root_squash`, which hold when this is left out. */
                options: z.array(text).optional(),
              }),
            )
            .min(1),
        })
        .optional(),
      mounts: z
        .array(
          z.strictObject({
            /** `HOST:/path` */
            from: exported,
            mount: text,
            options,
          }),
        )
        .optional(),
    })
    .optional(),
  /** What of Berth's tree really lies elsewhere, such as `{ workspaces: "/data/workspaces" }`. */
  bind: z
    .strictObject({
      homes: text.optional(),
      workspaces: text.optional(),
      shared: text.optional(),
      state: text.optional(),
    })
    .optional(),
  quota: z.strictObject({ home: quota }).optional(),
});

export type StorageConfig = z.output<typeof storage>;
/** As it stands in a stack's file: what has a default may be left out. */
export type StorageInput = z.input<typeof storage>;
export type QuotaConfig = z.output<typeof quota>;
