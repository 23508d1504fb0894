import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hostMatches, hostMatchesAny, parseAuthority, parseHost } from "./host.ts";

const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,10}[a-z0-9])?$/).filter((text) => !text.startsWith("xn--"));
const name = fc.array(label, { minLength: 2, maxLength: 5 }).map((labels) => labels.join("."));
const octets = fc.tuple(...Array.from({ length: 4 }, () => fc.integer({ min: 0, max: 255 })));

const mixCase = (text: string, mask: readonly boolean[]): string =>
  [...text].map((char, at) => (mask[at % mask.length] ? char.toUpperCase() : char)).join("");

describe("parseHost", () => {
  it("reads a name in any case, with or without a trailing dot, as one and the same", () => {
    fc.assert(
      fc.property(name, fc.array(fc.boolean(), { minLength: 1 }), fc.boolean(), (text, mask, dot) => {
        expect(parseHost(mixCase(text, mask) + (dot ? "." : ""))).toEqual({ text, kind: "name" });
      }),
    );
  });

  it("reads every spelling of an IPv4 address as that address", () => {
    const spellings = fc.array(fc.constantFrom("d", "o", "x"), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(octets, spellings, fc.integer({ min: 1, max: 4 }), (bytes, bases, partCount) => {
        const last = bytes.slice(partCount - 1).reduce((sum, byte) => sum * 256 + byte, 0);
        const parts = [...bytes.slice(0, partCount - 1), last];
        const spell = (value: number, base = "d") =>
          base === "x" ? `0x${value.toString(16)}` : base === "o" ? `0${value.toString(8)}` : `${value}`;
        expect(parseHost(parts.map((part, at) => spell(part, bases[at])).join("."))).toEqual({
          text: bytes.join("."),
          kind: "address",
        });
      }),
    );
  });

  it("reads IPv4-mapped IPv6 as the IPv4 address inside", () => {
    fc.assert(
      fc.property(octets, (bytes) => {
        for (const text of [`::ffff:${bytes.join(".")}`, `[::FFFF:${bytes.join(".")}]`, `0:0:0:0:0:ffff:${bytes.join(".")}`]) {
          expect(parseHost(text)).toEqual({ text: bytes.join("."), kind: "address" });
        }
      }),
    );
  });

  it.each([
    ["bücher.example", "xn--bcher-kva.example"],
    ["BÜCHER.Example.", "xn--bcher-kva.example"],
    ["ｅｘａｍｐｌｅ。com", "example.com"],
    ["2130706433", "127.0.0.1"],
    ["017700000001", "127.0.0.1"],
    ["0x7f.1", "127.0.0.1"],
    ["127.1.", "127.0.0.1"],
    ["[0:0::1]", "::1"],
    ["2001:DB8:0::1", "2001:db8::1"],
    ["a_b.example", "a_b.example"],
    ["localhost", "localhost"],
  ])("reads %s as %s", (text, expected) => {
    expect(parseHost(text)?.text).toBe(expected);
  });

  it.each([
    "",
    ".",
    "example.com..",
    ".example.com",
    "a..b",
    "example.com/",
    "user@example.com",
    "example.com:80",
    "ex%61mple.com",
    "exa mple.com",
    "example.com\u0000.evil.io",
    "example.com\r\n",
    "fe80::1%eth0",
    "[fe80::1%25eth0]",
    "[127.0.0.1]",
    "[::1",
    "1.2.3.4.5",
    "256.1.1.1",
    "0x1ffffffff",
    "-a.example",
    "*.example.com",
    `${"a".repeat(64)}.com`,
    `${"a.".repeat(130)}com`,
  ])("refuses %j", (text) => {
    expect(parseHost(text)).toBeNull();
  });

  it("never throws, and what it returns it reads as itself", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        const host = parseHost(text);
        if (host) expect(parseHost(host.text)).toEqual(host);
      }),
    );
  });
});

describe("hostMatches", () => {
  it("means exactly the host, or with a wildcard what is below it and not it", () => {
    fc.assert(
      fc.property(name, label, (host, sub) => {
        expect(hostMatches(host, host)).toBe(true);
        expect(hostMatches(host, `${sub}.${host}`)).toBe(false);
        expect(hostMatches(host, `${sub}${host}`)).toBe(false);
        expect(hostMatches(host, `${host}.${sub}`)).toBe(false);
        expect(hostMatches(`*.${host}`, host)).toBe(false);
        expect(hostMatches(`*.${host}`, `${sub}.${host}`)).toBe(true);
        expect(hostMatches(`*.${host}`, `${sub}.${sub}.${host}.`)).toBe(true);
        expect(hostMatches(`*.${host}`, `${sub}${host}`)).toBe(false);
        expect(hostMatches(`*.${host}`, `${sub}.${host}.${sub}`)).toBe(false);
      }),
    );
  });

  it.each([
    ["example.com", "evilexample.com", false],
    ["example.com", "example.com.evil.io", false],
    ["Example.COM.", "example.com", true],
    ["bücher.example", "xn--bcher-kva.example", true],
    ["10.0.0.1", "0xa.1", true],
    ["*.0.0.1", "10.0.0.1", false],
    ["*", "example.com", false],
    ["*.", "example.com", false],
    ["*.*.com", "a.b.com", false],
    ["a.*.com", "a.b.com", false],
    ["", "", false],
  ])("%s for %s: %s", (rule, host, expected) => {
    expect(hostMatches(rule, host)).toBe(expected);
  });
});

describe("hostMatchesAny", () => {
  const odd = fc.stringMatching(/^[a-z0-9._-]{1,12}$/);
  const text = fc.oneof(name, odd, fc.constantFrom("0xa.1", "1.2.3.4", "a.0x1", "xn--a", "a..b", "-a.b", "a.b.", "1.a"));

  it("reads a plain name as the parser would", () => {
    fc.assert(
      fc.property(text, text, fc.boolean(), (rule, host, isWide) => {
        const [parsedRule, parsedHost] = [parseHost(rule)?.text, parseHost(host)?.text];
        const below = isWide ? `.${parsedRule}` : "";
        const isName = parseHost(rule)?.kind === "name" && parseHost(host)?.kind === "name";
        const expected = isWide
          ? isName && parsedHost?.endsWith(below) === true
          : parsedHost !== undefined && parsedHost === parsedRule;
        expect(hostMatchesAny(["other.example", `${isWide ? "*." : ""}${rule}`], host)).toBe(expected);
        const sub = `x.${host}`;
        expect(hostMatchesAny([`*.${host}`], sub)).toBe(parseHost(host)?.kind === "name" && parseHost(sub)?.kind === "name");
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("parseAuthority", () => {
  it.each([
    ["example.com:443", "example.com", 443],
    ["[::1]:80", "::1", 80],
    ["2130706433:80", "127.0.0.1", 80],
  ])("reads %s", (text, host, port) => {
    expect(parseAuthority(text)).toMatchObject({ host: { text: host }, port });
  });

  it.each([
    "example.com",
    "example.com:",
    ":443",
    "example.com:0",
    "example.com:65536",
    "example.com:443:443",
    "::1:80:",
    "e.com:+80",
  ])("refuses %j", (text) => {
    expect(parseAuthority(text)).toBeNull();
  });
});
