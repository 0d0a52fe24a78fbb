// Whom commands mean, also where somebody takes the name of another.

import { markOf } from "darkchat-sdk";
import { describe, expect, test } from "vitest";
import { whom } from "../../src/chat/whom.ts";

const key = (letter: string): string => `u${letter.repeat(55)}`;
const BOB = { user: key("a"), name: "Bob" };
const CAROL = { user: key("b"), name: "carol" };
const IMPOSTOR = { user: key("c"), name: "bob" };

describe("who is meant", () => {
  test("by a key, also one that nobody here has", () => {
    expect(whom(key("z"), [BOB])).toBe(key("z"));
  });

  test("by the name that one alone has, in any case, however often that one is known", () => {
    expect(whom("bob", [BOB, CAROL, { ...BOB }])).toBe(BOB.user);
  });

  test("where two take one name nobody is, until the mark is said", () => {
    const known = [BOB, CAROL, IMPOSTOR];
    const both = `bob could be Bob~${markOf(BOB.user)} or bob~${markOf(IMPOSTOR.user)}`;
    expect(() => whom("bob", known)).toThrow(both);
    expect(whom(`bob~${markOf(BOB.user)}`, known)).toBe(BOB.user);
    expect(whom(`bob~${markOf(IMPOSTOR.user)}`, known)).toBe(IMPOSTOR.user);
  });

  test("one who calls themselves like another with the mark makes it unclear, and is not taken for them", () => {
    const liar = { user: key("d"), name: `Bob~${markOf(BOB.user)}` };
    expect(() => whom(`Bob~${markOf(BOB.user)}`, [BOB, liar])).toThrow("could be");
  });

  test("nobody", () => {
    expect(() => whom("dora", [BOB])).toThrow("nobody here is called dora");
    expect(() => whom("", [BOB])).toThrow("say whom");
  });
});
