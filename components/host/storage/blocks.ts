/**
 * The bash that looks at block devices and decides: empty, ours, or somebody's. Pure text.
 *
 * Nothing here writes to a device but `partition`, `make_filesystem`, `grow_partition` and `grow_filesystem`, and
 * they run only when every device of the stage was found to be empty or ours. No tool gets its force option: each
 * checks for old data once more on its own.
 */
import { scriptsOf } from "../script";

const script = scriptsOf(__dirname);

export const sizeLibrary = script("size.sh");

export const blocksLibrary = `${sizeLibrary}\n${script("blocks.sh")}`;

export const makingLibrary = script("making.sh");

export const growLibrary = script("grow.sh");
