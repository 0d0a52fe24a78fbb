// Unit tests need nothing; the browser tests need Chromium, the built page and the programs.

import { defineConfig } from "vitest/config";
import vite from "./vite.config.ts";

const resolve = vite.resolve ?? {};

export default defineConfig({
  test: {
    projects: [
      { resolve, test: { name: "unit", include: ["test/unit/**/*.test.ts"] } },
      {
        resolve,
        test: {
          name: "browser",
          include: ["test/browser/**/*.browser.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          // The machine may have two processors, and every file starts a browser.
          fileParallelism: false,
        },
      },
    ],
  },
});
