// The programs of the Rust side, as built, on loopback: their ports are chosen by the system.

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const TARGET =
  process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../../../../target", import.meta.url));
const PROGRAMS = process.env.DARKCHAT_PROGRAMS ?? join(TARGET, "debug");
const PATHS = { server: join(PROGRAMS, "darkchatd"), client: join(PROGRAMS, "darkchat") };

/** Whether both programs were built. Where somebody says that they are, their absence is a failure, not a skip. */
export const areBuilt =
  process.env.DARKCHAT_PROGRAMS !== undefined || (existsSync(PATHS.server) && existsSync(PATHS.client));

const STARTED_MS = 15_000;
const POLL_MS = 20;

const folders: string[] = [];
const children = new Set<ChildProcess>();

/** A folder that `cleanUp` removes. */
export function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "darkchat-sdk-"));
  folders.push(path);
  return path;
}

/** Ends every program that was started here, and removes every folder. */
export async function cleanUp(): Promise<void> {
  await Promise.all([...children].map((child) => stop(child, "SIGKILL")));
  for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
}

/** Ends one program and waits until it is gone. */
export async function stop(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await gone;
}

/** Starts a program that `cleanUp` ends. */
export function start(program: string, args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, ...env } });
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

/** A running server. */
export interface Server {
  readonly process: ChildProcess;
  readonly id: string;
  /** `ws://127.0.0.1:PORT/ws`, with a certificate `wss://…` */
  readonly ws: string;
  readonly tcp: string;
  readonly peers: string;
}

/** Starts a server. With `key` and `ports` it is the same one as before, after a restart. */
export async function startServer(more: string[] = [], { key = "", wsPort = 0 } = {}): Promise<Server> {
  const home = folder();
  const ports = join(home, "ports.json");
  const identity = key === "" ? ["--ephemeral"] : ["--key", key];
  const listeners = ["--tcp", "0", "--ws", String(wsPort), "--peer-listen", "127.0.0.1:0"];
  const args = [...listeners, ...identity, "--prompt", "never", "--ports-file", ports, ...more];
  const child = start(PATHS.server, args, { DARKCHAT_HOME: home });
  let log = "";
  child.stderr?.on("data", (text) => {
    log += String(text);
  });
  const until = Date.now() + STARTED_MS;
  while (!existsSync(ports)) {
    if (child.exitCode !== null || Date.now() > until) throw new Error(`the server did not start: ${log}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const report = JSON.parse(readFileSync(ports, "utf8")) as {
    id: string;
    clients: string[];
    peers: string[];
  };
  const address = (scheme: string): string => report.clients.find((one) => one.startsWith(scheme)) ?? "";
  return {
    process: child,
    id: report.id,
    ws: address("ws"),
    tcp: address("tcp:"),
    peers: report.peers[0] ?? "",
  };
}

/** Files with a certificate for this machine that signs itself, and with its key. */
export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** Makes a certificate as the documentation says. */
export function selfSigned(): Pair {
  const home = folder();
  const pair = { cert: join(home, "tls-cert.pem"), key: join(home, "tls-key.pem") };
  const made = spawnSync(PATHS.server, ["tls", "self-signed"], { cwd: home, encoding: "utf8" });
  if (made.status !== 0) throw new Error(`no certificate: ${made.stderr}`);
  return pair;
}

/** One object of `--json` output. */
export type Line = Record<string, unknown> & { type: string };

/** A running client of the Rust side, whose JSON lines are read one by one. */
export class RustClient {
  readonly process: ChildProcess;
  readonly #lines: Line[] = [];
  readonly #waiting: { wants: (line: Line) => boolean; done: (line: Line) => void }[] = [];
  #rest = "";
  log = "";

  constructor(args: string[], home = folder(), input = "") {
    this.process = start(PATHS.client, args, { DARKCHAT_HOME: home });
    // Every line that is waited for listens for the end.
    this.process.setMaxListeners(0);
    this.process.stdout?.on("data", (text) => this.#read(String(text)));
    this.process.stderr?.on("data", (text) => {
      this.log += String(text);
    });
    // A program that reads no input may be gone before it is written.
    this.process.stdin?.on("error", () => {});
    this.process.stdin?.end(input);
  }

  /** The first line, already read or still to come, that is wanted; it is taken out. */
  line(wants: (line: Line) => boolean): Promise<Line> {
    const at = this.#lines.findIndex(wants);
    const [found] = at < 0 ? [] : this.#lines.splice(at, 1);
    if (found !== undefined) return Promise.resolve(found);
    return new Promise((resolve, reject) => {
      const waiting = { wants, done: resolve };
      this.#waiting.push(waiting);
      this.process.once("exit", () =>
        setTimeout(() => reject(new Error(`the client ended: ${this.log}`)), 100),
      );
    });
  }

  /** The exit code, once it has ended. */
  async ended(): Promise<number | null> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      await new Promise((resolve) => this.process.once("close", resolve));
    }
    return this.process.exitCode;
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    // Without `--json` some commands print words.
    for (const one of lines.filter((text) => text.startsWith("{"))) {
      const line = JSON.parse(one) as Line;
      const at = this.#waiting.findIndex(({ wants }) => wants(line));
      const [waiting] = at < 0 ? [] : this.#waiting.splice(at, 1);
      if (waiting === undefined) this.#lines.push(line);
      else waiting.done(line);
    }
  }
}

/** Whether a command of the Rust client knows a flag. */
export function knows(command: string, flag: string): boolean {
  if (!existsSync(PATHS.client)) return false;
  const help = spawnSync(PATHS.client, [command, "--help"], { encoding: "utf8" });
  return help.status === 0 && help.stdout.includes(flag);
}
