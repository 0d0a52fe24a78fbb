// Cleaning, links, mentions and long texts.

import { describe, expect, test } from "vitest";
import { cleanName, cleanText } from "../../src/text/clean.ts";
import { beginningOf } from "../../src/text/cut.ts";
import { isImage, runsOf } from "../../src/text/links.ts";
import { mentionOf } from "../../src/text/mention.ts";

describe("cleaning", () => {
  test("controls show as symbols, as in the terminal", () => {
    expect(cleanName("a\nb\tc\r\x1b[2J\x07\x7f\x9b")).toBe("a\\nb c\\x0d\\x1b[2J\\x07\\x7f\\x9b");
    expect(cleanText("x\u202ey\u200bz\u{e0041}\u2028")).toBe("x\\u{202e}y\\u{200b}z\\u{e0041}\\u{2028}");
  });

  test("line feeds, joiners and letters of all scripts stay in texts", () => {
    const text = "one\ntwo 👨‍👩‍👧‍👦 שלום می‌خواهم";
    expect(cleanText(text)).toBe(text);
    expect(cleanText("a\r\nb")).toBe("a\nb");
  });

  test("half of a character is replaced", () => {
    expect(cleanText("a\ud83db")).toBe("a\ufffdb");
  });
});

describe("links", () => {
  const links = (text: string): string[] =>
    runsOf(text).flatMap((run) => (run.is === "link" ? [run.text] : []));

  test("end where the sentence ends", () => {
    expect(links("see https://a.example/x, (http://b.example/y) and https://c.example/z_(w).")).toEqual([
      "https://a.example/x",
      "http://b.example/y",
      "https://c.example/z_(w)",
    ]);
  });

  test("lead only to the web, and never to somebody before an at sign", () => {
    expect(
      links("javascript:alert(1) data:text/html,x ftp://a.example https://bank.example@evil.example/"),
    ).toEqual([]);
  });

  test("runs together are the text", () => {
    const text = "a https://a.example b http:// c https://[::1]:8/ <https://d.example>";
    expect(
      runsOf(text)
        .map((run) => run.text)
        .join(""),
    ).toBe(text);
  });

  test("are bounded in number and length, so that a text made against them stays cheap", () => {
    expect(links("http://a.example ".repeat(200))).toHaveLength(50);
    const path = "a".repeat(2_000 - "http://a.example/".length);
    expect(links(`http://a.example/${path}`)).toHaveLength(1);
    expect(links(`http://a.example/${path}a`)).toEqual([]);
    // To find where these end takes the square of their length.
    expect(links("http://".repeat(9_000))).toEqual([]);
    expect(links(`http://a${")".repeat(60_000)}`)).toEqual([]);
    expect(links(`http://a${")".repeat(60_000)} http://b.example`)).toEqual(["http://b.example"]);
  });

  test("name the host in the form of the network", () => {
    expect(runsOf("https://ехаmple.com/")[0]).toMatchObject({ host: "xn--mple-43d3a6i.com" });
  });

  test("images are those of https alone", () => {
    expect(isImage("https://a.example/b.PNG?c")).toBe(true);
    expect(isImage("http://a.example/b.png")).toBe(false);
    expect(isImage("https://a.example/b.svg")).toBe(false);
  });
});

describe("mentions", () => {
  test("are whole words in any case", () => {
    const mentions = mentionOf("Ann", "k7q2m9xa");
    for (const text of ["ann", "hi @Ann!", "(ANN)", "~k7q2m9xa?"]) expect(mentions(text), text).toBe(true);
    for (const text of ["annual", "joann", "ann_b", "änn", ""]) expect(mentions(text), text).toBe(false);
  });

  test("a name is not a pattern", () => {
    expect(mentionOf(".*", "aaaaaaaa")("anything")).toBe(false);
    expect(mentionOf("a+(b)", "aaaaaaaa")("to a+(b): yes")).toBe(true);
    expect(mentionOf("__proto__", "aaaaaaaa")("hello __proto__")).toBe(true);
  });
});

describe("long texts", () => {
  test("short ones stay whole", () => {
    expect(beginningOf("short")).toBeUndefined();
    expect(beginningOf("a\n".repeat(19))).toBeUndefined();
  });

  test("many letters or lines are folded", () => {
    expect(beginningOf("a".repeat(65_536))).toHaveLength(2_000);
    expect(beginningOf("a\n".repeat(30))?.split("\n")).toHaveLength(20);
  });

  test("no family is parted", () => {
    const family = "👨‍👩‍👧‍👦";
    const cut = beginningOf(`a${family.repeat(1_000)}`) ?? "";
    expect(cut.slice(1).split(family).join("")).toBe("");
  });
});
