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
          // These only end what hangs: nothing here is measured by the time that it takes.
          testTimeout: 180_000,
          hookTimeout: 180_000,
          expect: { poll: { timeout: 30_000 } },
          // The machine may have two processors, and every file starts a browser.
          fileParallelism: false,
        },
      },
    ],
  },
});
