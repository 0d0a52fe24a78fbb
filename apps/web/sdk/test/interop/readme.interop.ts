// The first example of the README does what it says, with the package as it is built.

import { spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test } from "vitest";
import { areBuilt, RustClient, startServer } from "./programs.ts";
import { endAll } from "./support.ts";

const HERE = fileURLToPath(new URL("../../", import.meta.url));
/** Beside the package's own modules, so that `ws` is found. */
const EXAMPLE = `${HERE}dist/example-of-the-readme.js`;

afterEach(async () => {
  rmSync(EXAMPLE, { force: true });
  await endAll();
});

test.skipIf(!areBuilt || !existsSync(`${HERE}dist/index.js`))("it greets and hears the answer", async () => {
  const server = await startServer();
  const [, example] = /```js\n([\s\S]*?)```/.exec(readFileSync(`${HERE}README.md`, "utf8")) ?? [];
  const program = (example ?? "")
    .replace('"darkchat-sdk"', '"./index.js"')
    .replace("ws://127.0.0.1:8546", server.ws);
  expect(program).not.toBe(example);
  writeFileSync(EXAMPLE, program);
  const listener = new RustClient(["--server", server.tcp, "--ephemeral", "recv", "-c", "general", "--json"]);
  await listener.line(({ type }) => type === "joined");
  const child = spawn(process.execPath, [EXAMPLE], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    expect(await listener.line(({ type }) => type === "message")).toMatchObject({
      name: "ann",
      text: "hello",
    });
    const heard = new Promise<string>((resolve) => child.stdout.on("data", (text) => resolve(String(text))));
    new RustClient(["--server", server.tcp, "--ephemeral", "--name", "bob", "send", "-c", "general", "hi"]);
    expect(await heard).toBe("bob: hi\n");
  } finally {
    child.kill();
  }
});
