import type { EnvironmentConfig } from "@sandbox0/protocol";
import { expect, test } from "vitest";
import { type DomainLists, describeUrlProblem } from "./web-policy.ts";

const packages = { type: "packages" as const, apt: [], cargo: [], gem: [], go: [], npm: [], pip: [] };
const unrestricted: EnvironmentConfig = { type: "cloud", networking: { type: "unrestricted" }, packages };
const limited = (...allowed_hosts: string[]): EnvironmentConfig => ({
  type: "cloud",
  networking: { type: "limited", allowed_hosts, allow_mcp_servers: true, allow_package_managers: true },
  packages,
});
const allows = (url: string, lists: DomainLists, environment: EnvironmentConfig = unrestricted) =>
  describeUrlProblem(new URL(url), { lists, environment, blockedHosts: ["*.evil.example"] }) === null;

test.each([
  ["https://example.com/x", true],
  ["http://EXAMPLE.com.:8080/", true],
  ["https://docs.example.com/", true],
  ["https://evilexample.com/", false],
  ["https://example.com.evil.io/", false],
  ["https://example.com@evil.io/", false],
  ["https://evil.io/example.com", false],
  ["https://evil.io#example.com", false],
  ["https://com/", false],
  ["https://93.184.216.34/", false],
])("allowed_domains [example.com]: %s is %s; blocked_domains the other way round", (url, isAllowed) => {
  expect(allows(url, { allowed_domains: ["Example.com"] })).toBe(isAllowed);
  expect(allows(url, { blocked_domains: ["example.com"] })).toBe(!isAllowed);
});

test.each([
  ["https://example.com/docs", true],
  ["https://www.example.com/docs/a?b", true],
  ["https://example.com/docsearch", false],
  ["https://example.com/docs/../admin", false],
  ["https://example.com/", false],
])("a path means what lies under it: %s %s", (url, isAllowed) => {
  expect(allows(url, { allowed_domains: ["example.com/docs/"] })).toBe(isAllowed);
});

test("limited networking: exact hosts and wildcards, and the flags add nothing", () => {
  const environment = limited("api.example.com", "*.docs.io");
  expect(allows("https://api.example.com/", {}, environment)).toBe(true);
  expect(allows("https://x.api.example.com/", {}, environment)).toBe(false);
  expect(allows("https://a.b.docs.io/", {}, environment)).toBe(true);
  expect(allows("https://docs.io/", {}, environment)).toBe(false);
  expect(allows("https://registry.example.net/", {}, environment)).toBe(false);
  expect(allows("https://api.example.com/", { allowed_domains: ["docs.io"] }, environment)).toBe(false);
  expect(allows("https://anything.net/", {}, limited())).toBe(false);
  expect(allows("https://anything.net/", {}, { type: "self_hosted" })).toBe(true);
});

test("the operator's blocklist holds where networking is unrestricted", () => {
  expect(allows("https://a.evil.example/", {})).toBe(false);
  expect(allows("https://evil.example/", {})).toBe(true);
});
