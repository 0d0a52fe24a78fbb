// How the page is built: six files with fixed names and relative references, the same bytes every time.

import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  // Relative, so that the page also works on a sub-path behind a proxy.
  base: "./",
  resolve: {
    // The SDK's source, with the packages that this folder's lock file names.
    alias: [
      { find: /^darkchat-sdk$/, replacement: here("../sdk/src/index.ts") },
      { find: "darkchat-sdk/words", replacement: here("../sdk/src/words.ts") },
      { find: /^@noble\//, replacement: here("./node_modules/@noble/") },
    ],
  },
  build: {
    outDir: process.env.DARKCHAT_PAGE_OUT ?? here("../../../crates/web-assets/assets"),
    emptyOutDir: true,
    target: "es2022",
    cssTarget: "chrome123",
    modulePreload: false,
    sourcemap: false,
    assetsInlineLimit: 0,
    reportCompressedSize: false,
    rollupOptions: {
      output: {
        entryFileNames: "page.js",
        chunkFileNames: "[name].js",
        // The only other file that is made is the style sheet.
        assetFileNames: "page[extname]",
      },
    },
  },
});
