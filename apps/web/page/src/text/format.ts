// How times, sizes and counts are written.

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "medium" });
const NUMBER = new Intl.NumberFormat("en");

/** `13:02` */
export const clockTime = (time: Date): string => CLOCK.format(time);
/** The day, for the line between two days. */
export const dayOf = (time: Date): string => DAY.format(time);
/** Everything about a time, for who points at it. */
export const fullTime = (time: Date): string => FULL.format(time);
/** `65,536 bytes` */
export const bytes = (count: number): string => (count === 1 ? "1 byte" : `${NUMBER.format(count)} bytes`);
/** `3 messages` */
export const counted = (count: number, one: string, many = `${one}s`): string =>
  `${NUMBER.format(count)} ${count === 1 ? one : many}`;

const ENCODER = new TextEncoder();

/** How many bytes a text has on the wire. */
export const byteLength = (text: string): number => ENCODER.encode(text).length;
