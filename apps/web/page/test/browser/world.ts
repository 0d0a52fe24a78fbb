// What the browser tests stand on: Chromium, a server, the page, and somebody else to talk to.

import { createHash, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Client, Identity } from "darkchat-sdk";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from "playwright-core";
import { expect } from "vitest";
import { areBuilt, cleanUp, type Server, startServer } from "../../../sdk/test/interop/programs.ts";
import { type Front, startFront } from "./serve.ts";

const CHROMIUM = [
  process.env.CHROMIUM ?? "",
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];
const path = CHROMIUM.find((one) => one !== "" && existsSync(one));

/** Whether there is all that these tests need. Where somebody says that there is, its absence is a failure. */
export const isPossible = process.env.DARKCHAT_PROGRAMS !== undefined || (areBuilt && path !== undefined);

/** Where screenshots are written for a person to look at. */
const SCREENSHOTS =
  process.env.DARKCHAT_SCREENSHOTS ?? fileURLToPath(new URL("../../screenshots/", import.meta.url));

/** A host under which the page has no protection, as in a local network without TLS. */
export const OPEN_HOST = "chat.test";

/** How long a button that may be gone is waited for, in milliseconds. */
const PRESS_MS = 500;

/** How a world begins. */
export interface Beginning {
  readonly key?: string;
  readonly wsPort?: number;
  /** What the browser meets before the server; `itself` for nothing. */
  readonly before?: (ws: string) => Promise<Front>;
  /** Files with certificates that the browser believes, each for its own key, and no others that nobody has signed. */
  readonly certificates?: readonly string[];
}

/** A server, the page in front of it, and a browser. */
export class World {
  readonly browser: Browser;
  server: Server;
  readonly front: Front;
  readonly #contexts: BrowserContext[] = [];
  readonly #clients: Client[] = [];
  /** What any page complained about: errors, refused content, requests to strangers. */
  readonly complaints: string[] = [];

  private constructor(browser: Browser, server: Server, front: Front) {
    this.browser = browser;
    this.server = server;
    this.front = front;
  }

  static async start(
    more: string[] = [],
    { before = startFront, certificates = [], ...options }: Beginning = {},
  ): Promise<World> {
    if (path === undefined) throw new Error("there is no Chromium");
    const server = await startServer(more, options);
    const [browser, front] = await Promise.all([
      // Without a user namespace of its own, as in containers, Chromium has no sandbox to offer.
      chromium.launch({
        executablePath: path,
        args: [
          "--no-sandbox",
          "--disable-gpu",
          // A name that is not localhost makes a page no secure context.
          `--host-resolver-rules=MAP ${OPEN_HOST} 127.0.0.1`,
          `--ignore-certificate-errors-spki-list=${certificates.map(spkiSha256).join()}`,
        ],
      }),
      before(server.ws),
    ]);
    return new World(browser, server, front);
  }

  /** A window with its own storage: another person. */
  async window(options: BrowserContextOptions = {}): Promise<BrowserContext> {
    const context = await this.browser.newContext({
      viewport: { width: 1200, height: 760 },
      colorScheme: "light",
      locale: "en-GB",
      ...options,
    });
    context.setDefaultTimeout(30_000);
    this.#contexts.push(context);
    return context;
  }

  /** A page at the welcome, or where a fragment leads. */
  async open(context?: BrowserContext, fragment = ""): Promise<Page> {
    const page = await (context ?? (await this.window())).newPage();
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("console", (message) => {
      // The browser itself reports every connection that a stopped server refuses.
      const isExpected = message.text().includes("WebSocket connection to");
      if (message.type() === "error" && !isExpected) this.complaints.push(message.text());
    });
    page.on("request", (request) => {
      const { protocol, host } = new URL(request.url());
      const isOwn = host === new URL(this.front.url).host || protocol === "blob:" || protocol === "data:";
      if (!isOwn) this.complaints.push(`asked ${request.url()}`);
    });
    await page.goto(this.front.url + fragment);
    return page;
  }

  /** A page that has joined a channel. */
  async enter(name: string, channel = "#general", context?: BrowserContext): Promise<Page> {
    const page = await this.open(context);
    await page.getByLabel("Your name").fill(name);
    await page.getByLabel("Channel", { exact: true }).fill(channel);
    await page.getByRole("button", { name: "Join", exact: true }).click();
    await page.getByText(/\d+ (person|people) here/).waitFor();
    return page;
  }

  /** Somebody who uses the SDK, outside of any browser. */
  async client(name: string): Promise<Client> {
    const { identity } = await Identity.create();
    const { WebSocket } = (await import("ws")) as unknown as { WebSocket: never };
    const client = await Client.connect(this.server.ws, { name, identity, webSocket: WebSocket });
    this.#clients.push(client);
    return client;
  }

  /** Ends windows and clients, so that the next test finds an empty server. */
  async clear(): Promise<void> {
    await Promise.all(this.#contexts.splice(0).map((context) => context.close()));
    await Promise.all(this.#clients.splice(0).map((client) => client.close()));
  }

  async stop(): Promise<void> {
    await this.clear();
    await this.browser.close();
    await this.front.close();
    await cleanUp();
  }
}

/** The server's own page, with nothing in front of it. */
export function itself(ws: string): Promise<Front> {
  const url = new URL("/", ws);
  url.protocol = url.protocol === "wss:" ? "https:" : "http:";
  return Promise.resolve({ url: url.href, to: () => {}, close: () => Promise.resolve() });
}

/** What names the public key of a certificate, as Chromium takes it. */
function spkiSha256(certificate: string): string {
  const { publicKey } = new X509Certificate(readFileSync(certificate));
  const spki = publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(spki).digest("base64");
}

/** Writes what a page looks like. */
export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: `${SCREENSHOTS}/${name}.png`, animations: "disabled" });
}

/** Says something on a page. */
export async function say(page: Page, text: string): Promise<void> {
  await page.getByRole("textbox", { name: "Message" }).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

/** Waits until the page says of no lost connection, and presses the button where the page's own attempt was not first. */
export async function comeBack(page: Page): Promise<void> {
  const button = page.getByRole("button", { name: "Try now" });
  const isBack = async (): Promise<string | null> => {
    await button.click({ timeout: PRESS_MS }).catch(() => {});
    return page.getByRole("status").textContent();
  };
  await expect.poll(isBack).toBe("");
}

/** The log of a channel. */
export function log(page: Page, channel = "#general"): ReturnType<Page["getByRole"]> {
  return page.getByRole("log", { name: `Messages in ${channel}`, exact: true });
}
