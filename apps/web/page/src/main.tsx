// Starts the page.

import { render } from "preact";
import { showTheme } from "./browser/theme.ts";
import { goodbye, looked } from "./chat/chat.ts";
import { App } from "./view/App.tsx";
import { cycleRegions } from "./view/focus.ts";
import { follow } from "./view/place.ts";
import "./view/page.css";

const root = document.getElementById("page");
if (root === null) throw new Error("the page has no place for itself");

showTheme();
follow();
addEventListener("hashchange", follow);
addEventListener("keydown", cycleRegions);
document.addEventListener("visibilitychange", looked);
addEventListener("pagehide", goodbye);
// A page that the browser kept aside has said goodbye; it begins anew.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});
render(<App />, root);
