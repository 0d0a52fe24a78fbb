// Serves the built page as a proxy in front of darkchatd would: on a sub-path, with the policy of the page, and the
// WebSocket passed through.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { fileURLToPath } from "node:url";

const COMMITTED = fileURLToPath(new URL("../../../../../crates/web-assets/assets", import.meta.url));
const ASSETS = `${process.env.DARKCHAT_PAGE_OUT ?? COMMITTED}/`;
const FILES: ReadonlyMap<string, string> = new Map([
  ["index.html", "text/html; charset=utf-8"],
  ["page.js", "text/javascript; charset=utf-8"],
  ["noble.js", "text/javascript; charset=utf-8"],
  ["privates.js", "text/javascript; charset=utf-8"],
  ["words.js", "text/javascript; charset=utf-8"],
  ["page.css", "text/css; charset=utf-8"],
  ["icon.svg", "image/svg+xml"],
]);

/** What names the page: the hash of the list that `sha256sum` makes of its files. */
export function pageSha256(): string {
  const sha256 = (bytes: string | Buffer): string => createHash("sha256").update(bytes).digest("hex");
  const lines = readdirSync(ASSETS)
    .sort()
    .map((name) => `${sha256(readFileSync(ASSETS + name))}  ${name}\n`);
  return sha256(lines.join(""));
}

/** What the page must live with. */
export const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data: https:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/** A running proxy. */
export interface Front {
  /** The page's URL. */
  readonly url: string;
  /** Connections to the server are made there from now on. */
  to(ws: string): void;
  close(): Promise<void>;
}

/** Starts a proxy in front of a server's WebSocket address. The page is at `/some/where/`. */
export async function startFront(ws: string, path = "/some/where/"): Promise<Front> {
  let target = new URL(ws);
  const open = new Set<Duplex>();
  const server: Server = createServer((request, response) => {
    const name = (request.url ?? "").slice(path.length) || "index.html";
    const type = request.url?.startsWith(path) ? FILES.get(name) : undefined;
    if (type === undefined) {
      response.writeHead(404).end();
      return;
    }
    const headers = {
      "content-type": type,
      "content-security-policy": POLICY,
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cross-origin-opener-policy": "same-origin",
    };
    response.writeHead(200, headers).end(readFileSync(ASSETS + name));
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const back: Socket = connect(Number(target.port), target.hostname, () => {
      back.write(upgradeOf(request, target));
      back.write(head);
      back.pipe(socket).pipe(back);
    });
    for (const end of [back, socket]) {
      open.add(end);
      end.on("error", () => {
        back.destroy();
        socket.destroy();
      });
      end.on("close", () => {
        open.delete(end);
        back.destroy();
        socket.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}${path}`,
    to: (next) => {
      target = new URL(next);
    },
    close: () => {
      for (const end of open) end.destroy();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

/** The request as a proxy passes it on: the server sees the path and the host that it knows, and no origin. */
function upgradeOf(request: IncomingMessage, target: URL): string {
  const lines = [`GET ${target.pathname} HTTP/1.1`, `Host: ${target.host}`];
  for (const [name, value] of Object.entries(request.headers)) {
    if (name !== "host" && name !== "origin") lines.push(`${name}: ${String(value)}`);
  }
  return `${lines.join("\r\n")}\r\n\r\n`;
}
