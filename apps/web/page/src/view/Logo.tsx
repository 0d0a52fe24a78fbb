// The sign of the page.

import type { JSX } from "preact";

/** Three servers in a speech balloon. */
export function Logo(): JSX.Element {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
      <path
        class="balloon"
        d="M10 3h12a8 8 0 0 1 8 8v6a8 8 0 0 1-8 8h-7l-6.4 4.6A1 1 0 0 1 7 28.8V24.4A8 8 0 0 1 2 17v-6a8 8 0 0 1 8-8Z"
      />
      <path class="lines" d="m10 17 6-7 6 7Z" />
      <path class="nodes" d="M10 17h0M16 10h0M22 17h0" />
    </svg>
  );
}
