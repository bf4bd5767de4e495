/**
 * @file HTTP over one connection, one request at a time. The clients share the computer with the server, and the client of Node.js
 * takes about as much of a processor for a call as berthd does: it would be half of what is measured.
 */
import { connect } from "node:net";

export class Connection {
  /**
   * @param {import("node:net").NetConnectOpts} where
   * @param {Record<string, string>} [headers] of each request
   */
  constructor(where, headers = {}) {
    this.headers = Object.entries(headers)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join("");
    this.text = "";
    /** @type {{resolve: (answer: {status: number, text: string}) => void, reject: (error: Error) => void} | undefined} */
    this.waiting = undefined;
    this.socket = connect(where);
    this.socket.setEncoding("latin1");
    this.socket.on("data", (part) => this.read(String(part)));
    this.socket.on("error", (error) => this.waiting?.reject(error));
    this.socket.on("close", () => this.waiting?.reject(new Error("the server closed the connection")));
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {object} [content]
   * @returns {Promise<{status: number, body: any}>}
   */
  async ask(method, path, content) {
    const { status, text } = await this.send(method, path, content);
    return {
      status,
      body: text === "" ? undefined : JSON.parse(Buffer.from(text, "latin1").toString("utf8")),
    };
  }

  /**
   * The same, with the answer's body as it came.
   * @param {string} method
   * @param {string} path
   * @param {object} [content]
   * @returns {Promise<{status: number, text: string}>} `text`: each byte a character
   */
  send(method, path, content) {
    const body = content === undefined ? "" : JSON.stringify(content);
    const typed =
      body === "" ? "" : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`;
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.socket.write(
        `${method} ${path} HTTP/1.1\r\nhost: localhost\r\n${this.headers}${typed}\r\n${body}`,
      );
    });
  }

  /** @param {string} part */
  read(part) {
    this.text += part;
    const head = this.text.indexOf("\r\n\r\n");
    if (head < 0) return;
    const status = Number(this.text.slice(9, 12));
    const length = /\r\ncontent-length: (\d+)/i.exec(this.text.slice(0, head))?.[1];
    if (length === undefined && status !== 204) {
      this.waiting?.reject(new Error(`an answer of unknown length:\n${this.text.slice(0, head)}`));
      return;
    }
    const end = head + 4 + Number(length ?? 0);
    if (this.text.length < end) return;
    const text = this.text.slice(head + 4, end);
    this.text = this.text.slice(end);
    const { waiting } = this;
    this.waiting = undefined;
    waiting?.resolve({ status, text });
  }

  end() {
    this.waiting = undefined;
    this.socket.destroy();
  }
}
