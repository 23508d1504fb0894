import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { createOpenApiDocument } from "@sandbox0/protocol/openapi";
import { expect, test } from "vitest";
import { listPages } from "./markdown-blocks.ts";

const PAGES = [...listPages(), "ARCHITECTURE.md", "SECURITY.md", "DIVERGENCES.md", "GLOSSARY.md", "AGENTS.md"];
const textOf = (page: string): string => readFileSync(page, "utf8");
/** Text that is no code block. */
const proseOf = (page: string): string => textOf(page).replaceAll(/^ *(`{3,})[\s\S]*?^ *\1 *$/gm, "");

/** As GitHub makes the anchor of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replaceAll(" ", "-");
const anchorsOf = (page: string): string[] =>
  [...proseOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) => anchorOf(heading));

test("every relative link leads to a file and a heading that are there", () => {
  const broken = PAGES.flatMap((page) =>
    [...proseOf(page).matchAll(/\]\((?!https?:|mailto:)([^)\s]+)\)/g)].flatMap(([, link = ""]) => {
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? page : normalize(join(dirname(page), path));
      if (!existsSync(target)) return [`${page}: ${link}: no such file`];
      if (anchor === undefined || !target.endsWith(".md")) return [];
      return anchorsOf(target).includes(anchor) ? [] : [`${page}: ${link}: no such heading`];
    }),
  );
  expect(broken).toEqual([]);
});

test("every page is in the index", () => {
  const index = textOf("docs/README.md");
  const pages = listPages().filter(
    (page) => page.startsWith("docs/") && page !== "docs/README.md" && !page.startsWith("docs/adr/"),
  );
  expect(pages.length).toBeGreaterThan(15);
  expect(pages.filter((page) => !index.includes(`(${page.slice("docs/".length)}`))).toEqual([]);
});

test("every request that a document names is in the description of the API", () => {
  const { paths } = createOpenApiDocument({ version: "0", built: new Set() });
  const known = Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  );
  const patterns = known.map(
    (request) => new RegExp(`^${request.replaceAll(/[.*+?^$()|[\]\\]/g, String.raw`\$&`).replaceAll(/\{\w+\}/g, "[^/]+")}$`),
  );
  const named = PAGES.flatMap((page) =>
    [
      ...textOf(page).matchAll(
        /\b(GET|POST|DELETE|PATCH) +((?:\/v1|\/sandbox0|\/healthz|\/readyz|\/metrics|\/llms\.txt|\/openapi\.json)[\w/{}.<> -]*)/g,
      ),
    ].map(([, method = "", path = ""]) => ({
      page,
      request: `${method} ${
        path
          .replaceAll(/<[^>]*>/g, "x")
          .split(" ")[0]
          ?.replace(/[./]+$/, "") ?? ""
      }`,
    })),
  );
  expect(named.length).toBeGreaterThan(30);
  expect(named.filter(({ request }) => !patterns.some((pattern) => pattern.test(request)))).toEqual([]);
});

/** Sources that read the environment, or hand it to programs that do. */
const READERS = ["packages/server/src/main", "apps/cli/src", "scripts", "packages/testkit/src", "test/browser"];

test("every variable that a document names is read by something", () => {
  const sources = READERS.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((path) => /\.(ts|sh)$/.test(path))
      .map((path) => textOf(join(folder, path))),
  ).join("\n");
  const named = PAGES.flatMap((page) => [...textOf(page).matchAll(/\bSANDBOX0_[A-Z0-9_]+/g)].map(([name]) => ({ page, name })));
  expect(new Set(named.map(({ name }) => name)).size).toBeGreaterThan(20);
  expect(named.filter(({ name }) => !sources.includes(name))).toEqual([]);
});

test("every variable that the server reads is in the list of variables", () => {
  const config = textOf("packages/server/src/main/config.ts");
  const read = [...new Set([...config.matchAll(/\bSANDBOX0_[A-Z0-9_]+/g)].map(([name]) => name))];
  const listed = textOf("docs/configuration.md");
  expect(read.length).toBeGreaterThan(15);
  expect(read.filter((name) => !listed.includes(`\`${name}\``))).toEqual([]);
});

test("every target of make that a document names is there", () => {
  const makefile = textOf("Makefile");
  const targets = PAGES.flatMap((page) =>
    [...textOf(page).matchAll(/\bmake ([a-z]+(?:-[a-z]+)*)\b(?=[`\n]| #| \w+=)/g)].map(([, target]) => target ?? ""),
  );
  expect(targets.length).toBeGreaterThan(3);
  for (const target of new Set(targets)) expect(makefile).toMatch(new RegExp(`^${target}:`, "m"));
});
