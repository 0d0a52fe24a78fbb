// The subset of proto3 that the protocol uses: fields, repeated fields and maps, with every bound of section 4.2.
//
// A message is a table of fields. Decoding is one pass that refuses as it goes: what would be over a bound is never
// kept. Unknown fields are passed over unread; groups do not exist.

import { type Bytes, concat, EMPTY, own, textOf, utf8 } from "../bytes.ts";
import { type Code, codeOf, malformed, numberOf, tooLarge } from "./code.ts";
import { MAX_CONTENT_TYPE, MAX_HEADER_BYTES, MAX_HEADERS, MAX_POST_HEADERS } from "./limits.ts";

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;

/** Where decoding is, and what it has counted over all messages of one step. */
class Step {
  at: number;
  readonly end: number;
  readonly bytes: Uint8Array;
  readonly counts: { headers: number };

  constructor(bytes: Uint8Array, at: number, end: number, counts: { headers: number }) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
    this.counts = counts;
  }

  varint(): bigint {
    let low = 0;
    let shift = 0;
    // Most numbers are small: a bigint only where 28 bits are not enough.
    while (shift < 28) {
      const byte = this.byte();
      low |= (byte & 0x7f) << shift;
      shift += 7;
      if (byte < 0x80) return BigInt(low);
    }
    let value = BigInt(low);
    for (let at = BigInt(shift); at <= 63n; at += 7n) {
      const byte = this.byte();
      if (at === 63n && byte > 1) malformed("a number of more than 64 bits");
      value |= BigInt(byte & 0x7f) << at;
      if (byte < 0x80) return value;
    }
    return malformed("a number of more than ten bytes");
  }

  fixed64(): bigint {
    const at = this.skip(8);
    return new DataView(this.bytes.buffer, this.bytes.byteOffset + at, 8).getBigUint64(0, true);
  }

  /** The inside of a length-delimited field. */
  inside(): Step {
    const length = this.varint();
    if (length > BigInt(this.end - this.at)) malformed("a field that is cut off");
    const at = this.skip(Number(length));
    return new Step(this.bytes, at, this.at, this.counts);
  }

  content(): Bytes {
    const inner = this.inside();
    return own(this.bytes.subarray(inner.at, inner.end));
  }

  skip(length: number): number {
    const at = this.at;
    if (length > this.end - at) malformed("a field that is cut off");
    this.at += length;
    return at;
  }

  pass(wire: number): void {
    if (wire === VARINT) this.varint();
    else if (wire === FIXED64) this.skip(8);
    else if (wire === DELIMITED) this.inside();
    else if (wire === FIXED32) this.skip(4);
    else malformed("a group");
  }

  private byte(): number {
    const byte = this.at < this.end ? this.bytes[this.at] : undefined;
    this.at += 1;
    return byte ?? malformed("a number that is cut off");
  }
}

function varint(value: bigint | number): Bytes {
  const out: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  while (rest > 0x7fn) {
    out.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  out.push(Number(rest));
  return new Uint8Array(out);
}

function fixed(value: bigint): Bytes {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  return bytes;
}

function keyed(number: number, wire: number, content: Uint8Array): Bytes {
  return concat(varint((number << 3) | wire), content);
}

/** A length-delimited field of a message. */
export function delimited(number: number, content: Uint8Array): Bytes {
  return concat(varint((number << 3) | DELIMITED), varint(content.length), content);
}

/** One field of a message: how it is read, checked and written. */
export interface Field<T> {
  readonly number: number;
  /** What the field is where it does not stand. */
  none(): T;
  /** Reads one occurrence; `before` is what earlier ones made. */
  read(step: Step, wire: number, before: T, times: number): T;
  /** The encoded field; empty for the default. */
  write(value: T): Uint8Array;
  /** Refuses a value that must not stand, also where the field is missing. */
  check(value: T): void;
}

/** The value of a field of the table. */
type ValueOf<F> = F extends Field<infer T> ? T : never;

/** What decoding a message gives. */
export type Infer<M> = M extends Message<infer T> ? T : never;

/** A message: encodes and decodes values of its type. */
export interface Message<T> {
  readonly title: string;
  encode(value: T): Bytes;
  /** @throws WireError on whatever section 4 refuses. */
  decode(bytes: Uint8Array): T;
  readInside(step: Step): T;
}

/** What a message checks beside its fields. */
export interface Rules<T> {
  /** The longest encoding, in bytes; over it is `code`. */
  readonly max?: number;
  readonly over?: "BAD_FRAME" | "TOO_LARGE";
  readonly check?: (value: T) => void;
}

/** Makes a message of a table whose fields stand in ascending order of their numbers. */
export function message<F extends Record<string, Field<unknown>>>(
  title: string,
  fields: F,
  rules: Rules<{ [K in keyof F]: ValueOf<F[K]> }> = {},
): Message<{ [K in keyof F]: ValueOf<F[K]> }> {
  type Value = { [K in keyof F]: ValueOf<F[K]> };
  const entries: [keyof F, Field<unknown>][] = Object.entries(fields);
  const byNumber = new Map(entries.map((entry) => [entry[1].number, entry]));

  function readInside(step: Step): Value {
    const value = {} as Record<keyof F, unknown>;
    for (const [name, field] of entries) value[name] = field.none();
    const times = new Map<number, number>();
    while (step.at < step.end) {
      const [number, wire] = readKey(step);
      const entry = byNumber.get(number);
      if (entry === undefined) {
        step.pass(wire);
        continue;
      }
      const [name, field] = entry;
      const before = times.get(number) ?? 0;
      value[name] = field.read(step, wire, value[name], before);
      times.set(number, before + 1);
    }
    for (const [name, field] of entries) field.check(value[name]);
    rules.check?.(value as Value);
    return value as Value;
  }

  return {
    title,
    readInside,
    encode: (value) => concat(...entries.map(([name, field]) => field.write(value[name]))),
    decode(bytes) {
      const max = rules.max ?? Number.POSITIVE_INFINITY;
      if (bytes.length > max) {
        if (rules.over === "BAD_FRAME") malformed(`${title} is too long`);
        tooLarge(title, bytes.length, max);
      }
      return readInside(new Step(bytes, 0, bytes.length, { headers: 0 }));
    },
  };
}

function readKey(step: Step): [number, number] {
  const key = step.varint();
  if (key > 0xffff_ffffn || key < 8n) malformed("a field number that cannot be");
  return [Number(key >> 3n), Number(key & 7n)];
}

function expect(wire: number, wanted: number): void {
  if (wire !== wanted) malformed("a field of another type");
}

const pass = (): void => {};

/** A `uint32`. */
export function u32(number: number): Field<number> {
  return {
    number,
    none: () => 0,
    read(step, wire) {
      expect(wire, VARINT);
      return Number(BigInt.asUintN(32, step.varint()));
    },
    write: (value) => (value === 0 ? EMPTY : keyed(number, VARINT, varint(value))),
    check: pass,
  };
}

/** An enum, as its number. */
export function choice(number: number, check: (value: number) => void = pass): Field<number> {
  return {
    ...u32(number),
    read(step, wire) {
      expect(wire, VARINT);
      return Number(BigInt.asIntN(32, step.varint()));
    },
    check,
  };
}

/** A `Code`; one of a later version is `INTERNAL`. */
export function code(number: number): Field<Code> {
  const field = choice(number);
  return {
    number,
    none: () => "OK",
    read: (step, wire) => codeOf(field.read(step, wire, 0, 0)),
    write: (value) => field.write(numberOf(value)),
    check: pass,
  };
}

/** A `uint64`. */
export function u64(number: number, check: (value: bigint) => void = pass): Field<bigint> {
  return {
    number,
    none: () => 0n,
    read(step, wire) {
      expect(wire, VARINT);
      return step.varint();
    },
    write: (value) => (value === 0n ? EMPTY : keyed(number, VARINT, varint(value))),
    check,
  };
}

/** A `fixed64`. */
export function f64(number: number, check: (value: bigint) => void = pass): Field<bigint> {
  return {
    number,
    none: () => 0n,
    read(step, wire) {
      expect(wire, FIXED64);
      return step.fixed64();
    },
    write: (value) => (value === 0n ? EMPTY : keyed(number, FIXED64, fixed(value))),
    check,
  };
}

/** A moment in Unix milliseconds as a `fixed64`; what no number holds exactly is read as the greatest that one does. */
export function ms(number: number): Field<number> {
  const field = f64(number);
  const most = BigInt(Number.MAX_SAFE_INTEGER);
  return {
    number,
    none: () => 0,
    read(step, wire) {
      const value = field.read(step, wire, 0n, 0);
      return Number(value > most ? most : value);
    },
    write: (value) => field.write(BigInt(Math.max(0, Math.trunc(value)))),
    check: pass,
  };
}

/** A `bool`. */
export function bool(number: number): Field<boolean> {
  return {
    number,
    none: () => false,
    read(step, wire) {
      expect(wire, VARINT);
      return step.varint() !== 0n;
    },
    write: (value) => (value ? keyed(number, VARINT, varint(1)) : EMPTY),
    check: pass,
  };
}

/** A `string` of at most so many bytes. */
export function text(number: number, max: number): Field<string> {
  return {
    number,
    none: () => "",
    read(step, wire) {
      expect(wire, DELIMITED);
      const bytes = step.content();
      if (bytes.length > max) malformed("a text that is too long");
      return textOf(bytes) ?? malformed("text that is not UTF-8");
    },
    write: (value) => (value === "" ? EMPTY : delimited(number, utf8(value))),
    check: pass,
  };
}

/** `bytes`, of any length that the message itself allows. */
export function bytes(number: number, check: (value: Bytes) => void = pass): Field<Bytes> {
  return {
    number,
    none: () => EMPTY,
    read(step, wire) {
      expect(wire, DELIMITED);
      return step.content();
    },
    write: (value) => (value.length === 0 ? EMPTY : delimited(number, value)),
    check,
  };
}

/** `bytes` of exactly one length, which must stand. */
export function exact(number: number, length: number): Field<Bytes> {
  return bytes(number, (value) => {
    if (value.length !== length) malformed(`field ${number} has ${value.length} of ${length} bytes`);
  });
}

/** `bytes` of exactly one length, or none. */
export function exactOrNone(number: number, length: number): Field<Bytes> {
  return bytes(number, (value) => {
    if (value.length !== 0 && value.length !== length) malformed(`field ${number} has ${value.length} bytes`);
  });
}

/** A message that may stand once. */
export function one<T>(number: number, inner: Message<T>): Field<T | undefined> {
  return {
    number,
    none: () => undefined,
    read(step, wire, _before, times) {
      expect(wire, DELIMITED);
      if (times > 0) malformed(`${inner.title} stands twice`);
      return inner.readInside(step.inside());
    },
    write: (value) => (value === undefined ? EMPTY : delimited(number, inner.encode(value))),
    check: pass,
  };
}

/** Such a message, which must stand. */
export function must<T>(number: number, inner: Message<T>): Field<T> {
  const field = one(number, inner);
  return {
    number,
    // Missing until it was read; `check` lets no such value out.
    none: () => undefined as T,
    read: (step, wire, before, times) => field.read(step, wire, before, times) as T,
    write: (value) => field.write(value),
    check(value) {
      if (value === undefined) malformed(`${inner.title} is missing`);
    },
  };
}

/** A repeated field of at most so many elements; `least` of them must stand. */
function repeated<T>(
  number: number,
  [least, most]: [number, number],
  read: (step: Step, wire: number, room: number) => T[],
  write: (values: T[]) => Uint8Array,
): Field<T[]> {
  return {
    number,
    none: () => [],
    read(step, wire, before) {
      const more = read(step, wire, most - before.length);
      if (before.length + more.length > most) malformed(`more than ${most} elements`);
      before.push(...more);
      return before;
    },
    write,
    check(values) {
      if (values.length < least) malformed(`fewer than ${least} elements`);
    },
  };
}

/** Repeated messages. */
export function messages<T>(number: number, inner: Message<T>, most: number, least = 0): Field<T[]> {
  return repeated(
    number,
    [least, most],
    (step, wire, room) => {
      expect(wire, DELIMITED);
      if (room <= 0) malformed(`more than ${most} elements`);
      return [inner.readInside(step.inside())];
    },
    (values) => concat(...values.map((value) => delimited(number, inner.encode(value)))),
  );
}

/** Repeated `bytes`, all of one length where one is given. */
export function manyBytes(number: number, most: number, length?: number, least = 0): Field<Bytes[]> {
  return repeated(
    number,
    [least, most],
    (step, wire) => {
      expect(wire, DELIMITED);
      const value = step.content();
      if (length !== undefined && value.length !== length) malformed(`an element of ${value.length} bytes`);
      return [value];
    },
    (values) => concat(...values.map((value) => delimited(number, value))),
  );
}

/** Repeated `string`s of at most so many bytes each. */
export function manyTexts(number: number, most: number, max: number): Field<string[]> {
  const single = text(number, max);
  return repeated(
    number,
    [0, most],
    (step, wire) => [single.read(step, wire, "", 0)],
    (values) => concat(...values.map((value) => delimited(number, utf8(value)))),
  );
}

/** Repeated numbers, packed or not. */
function manyNumbers<T>(
  number: number,
  most: number,
  wire: number,
  read: (step: Step) => T,
  write: (value: T) => Uint8Array,
): Field<T[]> {
  return repeated(
    number,
    [0, most],
    (step, found, room) => {
      if (found !== DELIMITED) {
        expect(found, wire);
        return [read(step)];
      }
      const inner = step.inside();
      const values: T[] = [];
      while (inner.at < inner.end) {
        if (values.length >= room) malformed(`more than ${most} elements`);
        values.push(read(inner));
      }
      return values;
    },
    (values) => (values.length === 0 ? EMPTY : delimited(number, concat(...values.map(write)))),
  );
}

/** Repeated `uint32`s. */
export function manyU32(number: number, most: number): Field<number[]> {
  const read = (step: Step): number => Number(BigInt.asUintN(32, step.varint()));
  return manyNumbers(number, most, VARINT, read, (value) => varint(value));
}

/** Repeated `fixed64`s. */
export function manyF64(number: number, most: number): Field<bigint[]> {
  return manyNumbers(number, most, FIXED64, (step) => step.fixed64(), fixed);
}

const Header = message("header", { name: text(1, MAX_CONTENT_TYPE), value: bytes(2) });

/** The map of headers. A `Map`, because a header may be called `__proto__`. */
export function headers(number: number): Field<Map<string, Bytes>> {
  return {
    number,
    none: () => new Map(),
    read(step, wire, before, times) {
      expect(wire, DELIMITED);
      step.counts.headers += 1;
      if (times >= MAX_HEADERS || step.counts.headers > MAX_POST_HEADERS) malformed("too many headers");
      const { name, value } = Header.readInside(step.inside());
      return before.set(name, value);
    },
    write: (map) =>
      concat(...[...map].sort().map(([name, value]) => delimited(number, Header.encode({ name, value })))),
    check(map) {
      let total = 0;
      for (const [name, value] of map) total += utf8(name).length + value.length;
      if (total > MAX_HEADER_BYTES) malformed("headers that are too long");
    },
  };
}

/** Cuts a message with one choice among many, whose numbers begin at 10, into its common fields and that choice. */
export function readFrame<T>(
  bytes: Uint8Array,
  common: (number: number, wire: number, step: Step) => boolean,
  kind: (number: number) => Field<T> | undefined,
): { value: T | undefined; greatest: number } {
  const step = new Step(bytes, 0, bytes.length, { headers: 0 });
  const times = new Map<number, number>();
  let value: T | undefined;
  let greatest = 0;
  while (step.at < step.end) {
    const [number, wire] = readKey(step);
    if (number >= 10) greatest = Math.max(greatest, number);
    const field = kind(number);
    if (field !== undefined) {
      const before = times.get(number) ?? 0;
      value = field.read(step, wire, field.none(), before);
      field.check(value);
      times.set(number, before + 1);
    } else if (!common(number, wire, step)) {
      step.pass(wire);
    }
  }
  return { value, greatest };
}
