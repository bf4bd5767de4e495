/** One at a time, for requests that collide when two run at once. */
export class Line {
  private readonly lines = new Map<string, Promise<unknown>>();

  /** Runs `work` when what came before it under the same key has ended, however it ended. */
  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const next = (this.lines.get(key) ?? Promise.resolve()).then(work);
    this.lines.set(
      key,
      next.catch(() => {}),
    );
    return await next;
  }
}
