// Where the keyboard is: F6 goes from region to region, and everything ends at the composer.

/** The regions, by their `data-region`, in the order of F6. */
const REGIONS = ["channels", "timeline", "composer", "members"] as const;

/** Puts the focus where the user writes. */
export function focusComposer(): void {
  focusIn("composer");
}

/** F6 goes to the next region that can be seen, Shift-F6 to the one before. */
export function cycleRegions(event: KeyboardEvent): void {
  if (event.key !== "F6" || document.querySelector("dialog[open]") !== null) return;
  const here = document.activeElement?.closest<HTMLElement>("[data-region]")?.dataset.region;
  const from = (REGIONS as readonly string[]).indexOf(here ?? "");
  const step = event.shiftKey ? REGIONS.length - 1 : 1;
  for (let count = 1; count <= REGIONS.length; count++) {
    const region = REGIONS[(Math.max(from, 0) + count * step) % REGIONS.length];
    if (region !== undefined && focusIn(region)) {
      event.preventDefault();
      return;
    }
  }
}

function focusIn(region: string): boolean {
  const place = document.querySelector(`[data-region="${region}"]`);
  const first = place?.querySelector<HTMLElement>("[data-first], textarea, [aria-current=true], button");
  if (first === null || first === undefined || !first.checkVisibility({ visibilityProperty: true }))
    return false;
  first.focus();
  return true;
}
