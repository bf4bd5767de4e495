import type { Socket } from "node:net";

/**
 * The few calls of the C library that Node.js does not offer: who is at the other end of a Unix socket, a datagram to
 * systemd, and whether a file is locked. Loaded when first needed; it fails with a clear error where koffi's binary is not shipped for the machine.
 */

const AF_UNIX = 1;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
const LOCK_SH = 1;
const LOCK_NB = 4;
const EINTR = 4;
const EWOULDBLOCK = 11;

interface Libc {
  getsockopt(fd: number, level: number, name: number, value: Buffer, length: Buffer): number;
  socket(domain: number, type: number, protocol: number): number;
  sendto(fd: number, data: Buffer, size: number, flags: number, to: Buffer, length: number): number;
  close(fd: number): number;
  flock(fd: number, operation: number): number;
  errno(): number;
}

let loaded: Libc | undefined;

function libc(): Libc {
  if (loaded) return loaded;
  // Here and not above: programs that never ask need not have its binary.
  const koffi = require("koffi") as typeof import("koffi", { with: { "resolution-mode": "import" }});
  const lib = koffi.load("libc.so.6");
  loaded = {
    getsockopt: lib.func("int getsockopt(int, int, int, void *, void *)"),
    socket: lib.func("int socket(int, int, int)"),
    sendto: lib.func("intptr_t sendto(int, void *, size_t, int, void *, uint32_t)"),
    close: lib.func("int close(int)"),
    flock: lib.func("int flock(int, int)"),
    errno: () => koffi.errno(),
  };
  return loaded;
}

/** Loads the library now, so that what is missing is found at the start and not at the first caller. */
export function loadLibc(): void {
  libc();
}

export interface PeerCredentials {
  pid: number;
  uid: number;
  gid: number;
}

/**
 * Who opened the other end of a connected Unix socket, as the kernel knows it. Undefined: it cannot be told, such as
 * when the connection is gone; such a caller gets nothing.
 */
export function peerCredentials(socket: Socket): PeerCredentials | undefined {
  const { _handle: handle } = socket as unknown as { _handle?: { fd?: number } | null };
  const fd = handle?.fd;
  if (typeof fd !== "number" || fd < 0) return undefined;
  const value = Buffer.alloc(12);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(value.length);
  if (libc().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, length) !== 0) return undefined;
  if (length.readUInt32LE() !== value.length) return undefined;
  const pid = value.readInt32LE(0);
  const uid = value.readUInt32LE(4);
  // What the kernel gives for a socket without a peer.
  if (pid === 0 && uid === 0xffffffff) return undefined;
  return { pid, uid, gid: value.readUInt32LE(8) };
}

/** Sends one datagram to a Unix socket; a path that begins with `@` is an abstract name. Throws when it did not go. */
export function sendDatagram(path: string, text: string): void {
  const c = libc();
  const name = Buffer.from(path.startsWith("@") ? `\0${path.slice(1)}` : `${path}\0`);
  if (name.length > 108) throw new Error(`the socket path ${path} has more than 107 bytes`);
  const address = Buffer.alloc(2 + name.length);
  address.writeUInt16LE(AF_UNIX);
  name.copy(address, 2);
  const data = Buffer.from(text);
  const fd = c.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new Error(`socket failed with errno ${c.errno()}`);
  try {
    if (Number(c.sendto(fd, data, data.length, MSG_NOSIGNAL, address, address.length)) !== data.length) {
      throw new Error(`sending to ${path} failed with errno ${c.errno()}`);
    }
  } finally {
    c.close(fd);
  }
}

/**
 * Whether somebody else has the whole file locked (flock(2), LOCK_EX). The caller closes `fd` soon: until then this
 * process has a lock of its own on it, which keeps others from the exclusive one.
 * @throws Error when the kernel says neither
 */
export function isLocked(fd: number): boolean {
  const c = libc();
  for (;;) {
    if (c.flock(fd, LOCK_SH | LOCK_NB) === 0) return false;
    const errno = c.errno();
    if (errno === EWOULDBLOCK) return true;
    if (errno !== EINTR) throw new Error(`flock failed with errno ${errno}`);
  }
}
