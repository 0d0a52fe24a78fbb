// The proxies of packaging/README.md, with TLS, as it tells people to set them up: the snippets are taken from there.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { connect } from "node:tls";
import { fileURLToPath } from "node:url";
import { folder, type Pair, start, stop } from "../../../sdk/test/interop/programs.ts";
import type { Front } from "./serve.ts";

const README = fileURLToPath(new URL("../../../../../packaging/README.md", import.meta.url));
const STARTED_MS = 10_000;
const POLL_MS = 20;
/** Where the snippets put the page, and where they find the server. */
const PLACE = "/chat/";
const SERVER = "127.0.0.1:8546";

/** A proxy that this machine may have. */
export interface Proxy {
  readonly name: string;
  readonly isInstalled: boolean;
  /** Starts it on a port of this machine, in front of a server's WebSocket address. */
  before(ws: string, port: number, pair: Pair): Promise<Front>;
}

/** Everything of a configuration that is no snippet; its folder is the only one that it writes to. */
type Configure = (snippet: string, port: number, pair: Pair, home: string) => string;

const nginx: Configure = (snippet, port, { cert, key }, home) => {
  const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
    (name) => `${name}_temp_path ${home}/${name};`,
  );
  return `
daemon off;
master_process off;
pid ${home}/nginx.pid;
error_log stderr;
events {}
http {
  access_log off;
  ${folders.join("\n  ")}
  server {
    listen 127.0.0.1:${port} ssl;
    server_name localhost;
    ssl_certificate ${cert};
    ssl_certificate_key ${key};
    ${snippet}
  }
}
`;
};

const caddy: Configure = (snippet, port, { cert, key }) => {
  const site = snippet.replace(/^chat\.example \{/, `https://localhost:${port} {\n    tls ${cert} ${key}`);
  return `{
    admin off
    auto_https disable_redirects
}
${site}`;
};

/** All that are documented. */
export const PROXIES: readonly Proxy[] = [
  proxy("nginx", "nginx", nginx, (config) => ["-e", "stderr", "-c", config]),
  proxy("caddy", "caddyfile", caddy, (config) => ["run", "--adapter", "caddyfile", "--config", config]),
];

function proxy(
  name: string,
  language: string,
  configure: Configure,
  words: (config: string) => string[],
): Proxy {
  return {
    name,
    isInstalled: has(name),
    before: async (ws, port, pair) => {
      const home = folder();
      const config = join(home, "config");
      const snippet = snippetIn(language).replace(SERVER, new URL(ws).host);
      writeFileSync(config, configure(snippet, port, pair, home));
      // Distributions put it where only an administrator's shell looks.
      const env = { PATH: `${process.env.PATH}:/usr/sbin`, XDG_DATA_HOME: home, XDG_CONFIG_HOME: home };
      const child = start(name, words(config), env);
      let log = "";
      child.stderr?.on("data", (text) => {
        log += String(text);
      });
      const until = Date.now() + STARTED_MS;
      while (!(await answers(port, pair))) {
        if (child.exitCode !== null || Date.now() > until) throw new Error(`${name} did not start: ${log}`);
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
      return {
        url: `https://localhost:${port}${PLACE}`,
        to: () => {},
        close: () => stop(child),
      };
    },
  };
}

/** A port that nobody listens on at this moment; proxies cannot tell which one the system chose for them. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** The fingerprint of the certificate that is shown on a port, where there is one that signed itself for localhost. */
export function shown(port: number, pair: Pair): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "localhost", ca: readFileSync(pair.cert) }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

async function answers(port: number, pair: Pair): Promise<boolean> {
  try {
    await shown(port, pair);
    return true;
  } catch {
    return false;
  }
}

/** The one block of code in this language. */
function snippetIn(language: string): string {
  const found = readFileSync(README, "utf8").split(`\n\`\`\`${language}\n`);
  const [snippet] = found[1]?.split("```") ?? [];
  if (snippet === undefined || found.length !== 2) throw new Error(`packaging/README.md: one ${language}`);
  return snippet;
}

function has(program: string): boolean {
  try {
    execFileSync("sh", ["-c", `PATH=$PATH:/usr/sbin command -v ${program}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}
