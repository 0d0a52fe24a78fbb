// Writes what the built page was made from: the hash of every source, as `sha256sum` prints it, from apps/web on.

import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const web = fileURLToPath(new URL("../../", import.meta.url));
const target = process.env.DARKCHAT_PAGE_SOURCES ?? `${web}../../crates/web-assets/sources.sha256`;

/** The files of a folder, with those of the folders in it where that is wanted. */
function files(folder, recursive) {
  return readdirSync(web + folder, { recursive, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`.replaceAll("\\", "/").slice(web.length));
}

const all = [
  ...files("page", false),
  ...["page/public", "page/src", "sdk/src"].flatMap((one) => files(one, true)),
];
// By code units, the same on every machine.
const lines = all.sort().map((name) => {
  const hash = createHash("sha256")
    .update(readFileSync(web + name))
    .digest("hex");
  return `${hash}  ${name}\n`;
});
writeFileSync(target, lines.join(""));
