// The package as `npm pack` makes it, in an empty folder beside what it depends on: its types, and the README's example.

import { execFileSync, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { areBuilt, folder, RustClient, startServer } from "./programs.ts";
import { endAll } from "./support.ts";

const HERE = fileURLToPath(new URL("../../", import.meta.url));

/** An application's folder. */
let home = "";

beforeAll(() => {
  if (!existsSync(`${HERE}dist/index.js`)) return;
  home = folder();
  const own = join(home, "node_modules", "darkchat-sdk");
  mkdirSync(own, { recursive: true });
  const packed = execFileSync("npm", ["pack", "--silent", "--pack-destination", home], {
    cwd: HERE,
    encoding: "utf8",
  }).trim();
  execFileSync("tar", ["xzf", join(home, packed), "-C", own, "--strip-components=1"]);
  // What npm would fetch: the dependencies, and what the application itself has.
  mkdirSync(join(home, "node_modules", "@types"));
  for (const name of ["@noble", "ws", "@types/node", "@types/ws"]) {
    symlinkSync(`${HERE}node_modules/${name}`, join(home, "node_modules", name));
  }
  writeFileSync(join(home, "package.json"), '{ "type": "module" }\n');
  copyFileSync(new URL("user/use.ts", import.meta.url), join(home, "use.ts"));
});

afterAll(endAll);

describe.skipIf(!existsSync(`${HERE}dist/index.js`))("the package", () => {
  test.each([
    ["nodenext", "nodenext", "ES2022,ESNext.Disposable", "node"],
    ["esnext", "bundler", "ES2022,ESNext.Disposable", "node"],
    ["esnext", "bundler", "ES2022,ESNext.Disposable,DOM", ""],
  ])("its types pass with %s modules, %s resolution and %s %s", (module, resolution, lib, types) => {
    const words = ["--strict", "--noEmit", "--target", "es2022", "--module", module];
    words.push("--moduleResolution", resolution, "--lib", lib, "--types", types, "use.ts");
    const tsc = `${HERE}node_modules/typescript/bin/tsc`;
    // What it has to say stands on its standard output.
    const said = (() => {
      try {
        return execFileSync(process.execPath, [tsc, ...words], { cwd: home, encoding: "utf8" });
      } catch (error) {
        return String((error as { stdout?: string }).stdout ?? error);
      }
    })();
    expect(said).toBe("");
  });

  test.skipIf(!areBuilt)("the README's first example greets and hears the answer", async () => {
    const server = await startServer();
    const [, example] = /```js\n([\s\S]*?)```/.exec(readFileSync(`${HERE}README.md`, "utf8")) ?? [];
    const program = (example ?? "").replace("ws://127.0.0.1:8546", server.ws);
    expect(program).not.toBe(example);
    writeFileSync(join(home, "example.js"), program);
    const here = ["--server", server.tcp, "--ephemeral"];
    const listener = new RustClient([...here, "recv", "-c", "general", "--json"]);
    await listener.line(({ type }) => type === "joined");
    const child = spawn(process.execPath, ["example.js"], {
      cwd: home,
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      const greeting = await listener.line(({ type }) => type === "message");
      expect(greeting).toMatchObject({ name: "ann", text: "hello" });
      const heard = new Promise<string>((resolve) =>
        child.stdout.on("data", (text) => resolve(String(text))),
      );
      new RustClient([...here, "--name", "bob", "send", "-c", "general", "hi"]);
      expect(await heard).toBe("bob: hi\n");
    } finally {
      child.kill();
    }
  });
});
