// Says how large the built page is, and fails when it is over its bounds.

import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const assets =
  process.env.DARKCHAT_PAGE_OUT ??
  fileURLToPath(new URL("../../../../crates/web-assets/assets", import.meta.url));

/** Bytes, gzipped: what runs at the start, how it looks, and everything. A kB is 1,000 bytes. */
const MOST = { "page.js": 60_000, "page.css": 8_000, all: 100_000 };

const sizes = new Map(
  readdirSync(assets).map((name) => [name, gzipSync(readFileSync(`${assets}/${name}`), { level: 9 }).length]),
);
sizes.set(
  "all",
  [...sizes.values()].reduce((sum, size) => sum + size, 0),
);
for (const [name, size] of sizes)
  process.stdout.write(`${String(size).padStart(8)} bytes gzipped  ${name}\n`);
for (const [name, most] of Object.entries(MOST)) {
  const size = sizes.get(name);
  if (size !== undefined && size <= most) continue;
  process.stderr.write(`${name} has ${size} bytes gzipped; at most ${most} are allowed\n`);
  process.exitCode = 1;
}
