/** The error of that class with which the work fails; any other end of it fails the test. */
export async function failureOf<Kind extends Error>(
  kind: abstract new (...args: never[]) => Kind,
  work: Promise<unknown>,
): Promise<Kind> {
  try {
    await work;
  } catch (error) {
    if (error instanceof kind) return error;
    throw error;
  }
  throw new Error(`no ${kind.name}: it did not fail`);
}
