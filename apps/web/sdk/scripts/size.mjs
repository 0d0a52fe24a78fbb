// Says how large the SDK is for a page, and fails when what a page starts with is over its share.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "vite";

/** Bytes, gzipped, of what loads at once. The page may have 60,000 with everything; this is the SDK's share. */
const START_MOST = 36_000;

const folder = mkdtempSync(join(tmpdir(), "darkchat-size-"));
try {
  const entry = join(folder, "entry.js");
  const sdk = new URL("../dist/index.js", import.meta.url).pathname;
  writeFileSync(entry, `export * from ${JSON.stringify(sdk)};\n`);
  await build({
    configFile: false,
    logLevel: "error",
    root: folder,
    build: {
      outDir: "out",
      target: "es2022",
      modulePreload: false,
      rollupOptions: { input: entry, preserveEntrySignatures: "strict" },
    },
  });
  let start = 0;
  const assets = join(folder, "out", "assets");
  for (const name of readdirSync(assets).sort()) {
    const size = gzipSync(readFileSync(join(assets, name)), { level: 9 }).length;
    // The fallback and private channels are loaded later.
    if (!/^(noble|privates)/.test(name)) start += size;
    process.stdout.write(`${String(size).padStart(8)} bytes gzipped  ${name}\n`);
  }
  if (start === 0 || start > START_MOST) {
    process.stderr.write(`the start is ${start} bytes gzipped; at most ${START_MOST} are allowed\n`);
    process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
