// Light, dark, or as the system has it.

import { signal } from "@preact/signals";
import { recall, remember } from "./memory.ts";

/** The choices, in the order in which they are offered. */
export const THEMES = ["system", "light", "dark"] as const;
/** One of them. */
export type Theme = (typeof THEMES)[number];

/** What is chosen. */
export const theme = signal<Theme>(THEMES.find((one) => one === recall("browser", "theme")) ?? "system");

/** Chooses, and remembers it. */
export function chooseTheme(chosen: Theme): void {
  theme.value = chosen;
  remember("browser", "theme", chosen === "system" ? undefined : chosen);
  showTheme();
}

/** Puts the choice on the document, where the style sheet reads it. */
export function showTheme(): void {
  document.documentElement.dataset.theme = theme.value;
}
