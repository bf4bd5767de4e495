/**
 * dockerode as this plugin calls it. Its own types know neither `abortSignal` on every call, nor `_query` and
 * `_body`, which keep a body (secrets and all) out of the request's address.
 */
type Options = Readonly<Record<string, unknown>>;

export interface DockerApi {
  createContainer(options: Options): Promise<{ id: string }>;
  createNetwork(options: Options): Promise<{ id: string }>;
  createVolume(options: Options): Promise<unknown>;
  createImage(options: Options): Promise<NodeJS.ReadableStream>;
  info(options: Options): Promise<{ CgroupVersion?: string }>;
  version(options: Options): Promise<{ ApiVersion?: string }>;
  getContainer(id: string): {
    inspect(options: Options): Promise<unknown>;
    start(options: Options): Promise<unknown>;
    restart(options: Options): Promise<unknown>;
    unpause(options: Options): Promise<unknown>;
    stop(options: Options): Promise<unknown>;
    update(options: Options): Promise<unknown>;
    remove(options: Options): Promise<unknown>;
    putArchive(archive: Buffer, options: Options): Promise<unknown>;
    getArchive(options: Options): Promise<NodeJS.ReadableStream>;
  };
  getNetwork(id: string): {
    inspect(options: Options): Promise<unknown>;
    connect(options: Options): Promise<unknown>;
    disconnect(options: Options): Promise<unknown>;
    remove(options: Options): Promise<unknown>;
  };
  getVolume(name: string): {
    inspect(options: Options): Promise<unknown>;
    remove(options: Options): Promise<unknown>;
  };
  getImage(name: string): {
    inspect(options: Options): Promise<unknown>;
    remove(options: Options): Promise<unknown>;
  };
}
