/** The node of a GpuPool's tests: a program named `ssh` answers for it, and what the provider tells people is kept. */
import { afterAll, beforeEach, vi } from "vitest";
import { FakeSsh } from "../../../fakes/ssh";

/** For a test file, at its top. `told` is empty before each test. */
export function poolNode(): { ssh: FakeSsh; told: string[] } {
  const ssh = new FakeSsh();
  const told: string[] = [];
  vi.spyOn(console, "error").mockImplementation((text) => void told.push(String(text)));
  beforeEach(() => {
    told.length = 0;
    ssh.does({});
  });
  afterAll(() => {
    vi.restoreAllMocks();
    ssh.remove();
  });
  return { ssh, told };
}
