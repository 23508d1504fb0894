import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { REQUIREMENTS } from "./requirements.ts";
import { ENGINE } from "./requirements/engine.ts";
import { FILES } from "./requirements/files.ts";
import { HTTP } from "./requirements/http.ts";
import type { Requirements } from "./requirements/requirement.ts";
import { MCP } from "./requirements/mcp.ts";
import { MEMORY } from "./requirements/memory.ts";
import { NETWORKING } from "./requirements/networking.ts";
import { REPOSITORIES } from "./requirements/repositories.ts";
import { RESOURCES } from "./requirements/resources.ts";
import { SESSION_RESOURCES } from "./requirements/session-resources.ts";
import { SESSIONS } from "./requirements/sessions.ts";
import { SKILLS } from "./requirements/skills.ts";
import { VAULTS } from "./requirements/vaults.ts";
import { VOLUMES } from "./requirements/volumes.ts";
import { WEB } from "./requirements/web.ts";

const directory = import.meta.dirname;
const tests = readdirSync(directory)
  .filter((name) => name.endsWith(".test.ts") && name !== "coverage.test.ts")
  .map((name) => readFileSync(join(directory, name), "utf8"));
/** What stands between `verifies(` or `verifies.fails(` and the title: the ids are there, whatever the formatter did. */
const cited = new Set(
  tests.flatMap((text) =>
    [...text.matchAll(/\bverifies(?:\.fails)?\(\s*(\[[^\]]*\]|"[^"]+")/g)].flatMap(([, ids = ""]) =>
      [...ids.matchAll(/"([^"]+)"/g)].map(([, id = ""]) => id),
    ),
  ),
);

test("every requirement is proven by a test, and every test cites requirements that exist", () => {
  const ids = Object.keys(REQUIREMENTS);
  expect(ids.filter((id) => !cited.has(id))).toEqual([]);
  expect([...cited].filter((id) => !ids.includes(id))).toEqual([]);
});

test("what a requirement cites of DIVERGENCES.md is there", () => {
  const rows = new Set(
    [...readFileSync("DIVERGENCES.md", "utf8").matchAll(/^\| ([a-z-]+) \| (?:differs|guess) \|/gm)].map(([, id]) => id),
  );
  const cited = Object.values<Requirements[string]>(REQUIREMENTS).flatMap(([, , divergence]) => divergence ?? []);
  expect(rows.size).toBeGreaterThan(10);
  expect(cited.filter((id) => !rows.has(id))).toEqual([]);
});

test("every requirement says where it is written", () => {
  for (const [id, [source, text]] of Object.entries(REQUIREMENTS)) {
    expect(id).toMatch(/^[a-z-]+\.[a-z0-9-]+$/);
    expect(source).toMatch(/^(semantics|contract|design|issue) /);
    expect(text.length).toBeGreaterThan(10);
  }
  const parts = [
    HTTP,
    RESOURCES,
    SESSIONS,
    ENGINE,
    MCP,
    WEB,
    VAULTS,
    NETWORKING,
    MEMORY,
    SKILLS,
    FILES,
    SESSION_RESOURCES,
    REPOSITORIES,
    VOLUMES,
  ].map((part) => Object.keys(part).length);
  expect(parts.reduce((sum, count) => sum + count, 0)).toBe(Object.keys(REQUIREMENTS).length);
});
