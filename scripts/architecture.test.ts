import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createPlantedTree, type PlantedTree } from "./planted-tree.ts";

/** Edges of the design: none of these may be reported. Every file imports the next and exports one thing. */
const CLEAN: Record<string, string> = {
  "packages/protocol/src/index.ts": 'export { a } from "./ids.ts";',
  "packages/protocol/src/ids.ts": 'import zod from "zod"; export const a = zod;',
  "packages/sandbox/src/index.ts": 'export { create } from "./bubblewrap/driver.ts";',
  "packages/sandbox/src/shared.ts": "export const shared = 1;",
  "packages/sandbox/src/process/driver.ts": 'import { shared } from "../shared.ts"; export const process = shared;',
  "packages/sandbox/src/bubblewrap/driver.ts": 'import { a } from "@sandbox0/protocol"; export const create = a;',
  "packages/sandbox/src/testing/index.ts": "export const cases = [];",
  "packages/sandbox/src/bubblewrap/driver.test.ts": 'import { cases } from "@sandbox0/sandbox/testing"; export const c = cases;',
  "packages/harness/src/index.ts": 'export { pi } from "./sandpi/loop.ts";',
  "packages/harness/src/sandpi/loop.ts": 'import { create } from "@sandbox0/sandbox"; export const pi = create;',
  "packages/harness/src/codex/loop.ts": "export const codex = 1;",
  "packages/egress/src/index.ts": "export const egress = 1;",
  "packages/server/src/domain/reduce.ts": 'import { a } from "@sandbox0/protocol"; export const reduce = a;',
  "packages/server/src/store/pool.ts":
    'import pg from "pg"; import { reduce } from "../domain/reduce.ts"; export const pool = [pg, reduce];',
  "packages/server/src/log/append.ts": 'import { pool } from "../store/pool.ts"; export const append = pool;',
  "packages/server/src/blobs/blobs.ts": 'import { pool } from "../store/pool.ts"; export const blobs = pool;',
  "packages/server/src/resources/agents.ts": 'import { pool } from "../store/pool.ts"; export const agents = pool;',
  "packages/server/src/resources/files.ts": 'import { blobs } from "../blobs/blobs.ts"; export const files = blobs;',
  "packages/server/src/sessions/admit.ts":
    'import { append } from "../log/append.ts"; import { agents } from "../resources/agents.ts"; export const admit = [append, agents];',
  "packages/server/src/orchestrator/claim.ts":
    'import { admit } from "../sessions/admit.ts"; import { pi } from "@sandbox0/harness"; export const claim = [admit, pi];',
  "packages/server/src/http/routes.ts":
    'import fastify from "fastify"; import { admit } from "../sessions/admit.ts"; export const routes = [fastify, admit];',
  "packages/server/src/main/index.ts":
    'import { claim } from "../orchestrator/claim.ts"; import { routes } from "../http/routes.ts"; export const serve = [claim, routes];',
  "packages/testkit/src/index.ts": 'export { serve } from "@sandbox0/server/main";',
  "packages/server/src/store/pool.test.ts": 'import { serve } from "@sandbox0/testkit"; export const s = serve;',
  "apps/cli/src/serve.ts": 'import { serve } from "@sandbox0/server/main"; export const s = serve;',
  "apps/cli/src/demo.ts": 'import { serve } from "@sandbox0/testkit"; export const s = serve;',
  "test/conformance/sessions.test.ts": 'import { serve } from "@sandbox0/testkit"; export const s = serve;',
};

/** One violation each, and the rule that must name it. */
const PLANTED: [path: string, text: string, rule: string | null][] = [
  [
    "packages/server/src/http/p1.ts",
    'import { claim } from "../orchestrator/claim.ts"; export const x = claim;',
    "not-in-allowed",
  ],
  [
    "packages/server/src/http/p2.ts",
    'import type { claim } from "../orchestrator/claim.ts"; export type X = typeof claim;',
    "not-in-allowed",
  ],
  ["packages/server/src/http/p3.ts", 'import { pool } from "../store/pool.ts"; export const x = pool;', "not-in-allowed"],
  [
    "packages/server/src/orchestrator/p4.ts",
    'import { routes } from "../http/routes.ts"; export const x = routes;',
    "not-in-allowed",
  ],
  ["packages/server/src/domain/p5.ts", 'import { pool } from "../store/pool.ts"; export const x = pool;', "domain-is-pure"],
  ["packages/server/src/domain/p6.ts", 'import fs from "node:fs"; export const x = fs;', "domain-is-pure"],
  [
    "packages/server/src/resources/p7.ts",
    'import { admit } from "../sessions/admit.ts"; export const x = admit;',
    "not-in-allowed",
  ],
  ["packages/server/src/log/p8.ts", 'import pg from "pg"; export const x = pg;', "postgres-only-in-store"],
  ["packages/server/src/store/p9.ts", 'import { c } from "./pool.test.ts"; export const x = c;', "no-production-to-test"],
  [
    "packages/server/src/main/p10.ts",
    'import { serve } from "@sandbox0/testkit"; export const x = serve;',
    "no-production-to-test",
  ],
  ["packages/harness/src/codex/p11.ts", 'import { pi } from "../sandpi/loop.ts"; export const x = pi;', "harnesses-are-siblings"],
  ["packages/harness/src/p12.ts", 'import { serve } from "@sandbox0/server/main"; export const x = serve;', "not-in-allowed"],
  [
    "packages/sandbox/src/process/p13.ts",
    'import { create } from "../bubblewrap/driver.ts"; export const x = create;',
    "drivers-are-siblings",
  ],
  ["packages/sandbox/src/p14.ts", 'import { pi } from "@sandbox0/harness"; export const x = pi;', "not-in-allowed"],
  ["packages/protocol/src/p15.ts", 'import fastify from "fastify"; export const x = fastify;', "protocol-needs-zod-only"],
  ["packages/egress/src/p16.ts", 'import { a } from "@sandbox0/protocol"; export const x = a;', "egress-knows-nothing-of-ours"],
  [
    "packages/harness/src/p17.ts",
    'import { a } from "../../protocol/src/index.ts"; export const x = a;',
    "cross-border-by-package-name",
  ],
  ["packages/harness/src/p18.ts", 'import x from "no-such-library"; export { x };', "not-to-unresolvable"],
  ["packages/sandbox/src/p19.ts", 'import { cases } from "./testing/index.ts"; export const x = cases;', "no-production-to-test"],
  ["packages/server/src/log/p20.ts", 'import { p21 } from "./p21.ts"; export const p20 = () => p21;', "no-circular"],
  // The other half of the cycle, which is reported once.
  ["packages/server/src/log/p21.ts", 'import { p20 } from "./p20.ts"; export const p21 = () => p20;', null],
  ["packages/server/src/http/p24.ts", 'import { blobs } from "../blobs/blobs.ts"; export const x = blobs;', "not-in-allowed"],
  [
    "packages/server/src/blobs/p25.ts",
    'import { files } from "../resources/files.ts"; export const x = files;',
    "not-in-allowed",
  ],
  ["packages/server/src/resources/p26.ts", 'import s3 from "@aws-sdk/client-s3"; export const x = s3;', "s3-only-in-blobs"],
  ["apps/cli/src/p22.ts", 'import { serve } from "@sandbox0/testkit"; export const x = serve;', "no-production-to-test"],
  ["apps/cli/src/p23.ts", 'import { create } from "@sandbox0/sandbox"; export const x = create;', "not-in-allowed"],
];

interface Cruise {
  summary: { violations: { from: string; to: string; rule: { name: string; severity: string } }[] };
}

function run(
  tree: PlantedTree,
  command: string,
  args: readonly string[],
): { status: number | null; output: string; stdout: string } {
  const { status, stdout, stderr } = spawnSync(resolve("node_modules/.bin", command), args, {
    cwd: tree.root,
    encoding: "utf8",
    env: { ...process.env, PATH: `${resolve("node_modules/.bin")}:${process.env.PATH}` },
  });
  return { status, output: stdout + stderr, stdout };
}

function cruise(tree: PlantedTree): { status: number | null; violations: Cruise["summary"]["violations"] } {
  const roots = ["packages", "apps", "test"];
  const human = run(tree, "depcruise", ["--config", ".dependency-cruiser.mjs", ...roots]);
  const json = run(tree, "depcruise", ["--config", ".dependency-cruiser.mjs", "--output-type", "json", ...roots]);
  return { status: human.status, violations: (JSON.parse(json.stdout) as Cruise).summary.violations };
}

describe("the import rules", () => {
  let tree: PlantedTree;
  beforeAll(() => {
    tree = createPlantedTree();
    for (const [path, text] of Object.entries(CLEAN)) tree.write(path, `${text}\n`);
  });
  afterAll(() => tree.remove());

  test("a tree that follows the design passes, and each planted violation is an error", () => {
    expect(cruise(tree)).toEqual({ status: 0, violations: [] });

    for (const [path, text] of PLANTED) tree.write(path, `${text}\n`);
    const { status, violations } = cruise(tree);
    expect(status).toBeGreaterThan(0);
    for (const [path, , rule] of PLANTED) {
      if (rule === null) continue;
      const rules = violations
        .filter(({ from }) => from === path)
        .map((violation) => `${violation.rule.name} ${violation.rule.severity}`);
      expect(rules, path).toContain(`${rule} error`);
    }
    const planted = new Set(PLANTED.map(([path]) => path));
    expect(violations.filter(({ from }) => !planted.has(from))).toEqual([]);
  });
});

describe("floating promises", () => {
  test("each planted one is an error, across packages, Node and libraries", () => {
    const tree = createPlantedTree();
    try {
      tree.write("packages/sandbox/src/index.ts", "export interface Sandbox { destroy(): Promise<void> }\n");
      tree.write("packages/server/src/log/store.ts", "export interface Store { run<T>(work: () => Promise<T>): Promise<T> }\n");
      const floating = [
        "sandbox.destroy();",
        "store.run(async () => 1);",
        "jobs.get(1)?.();",
        "sleep(1);",
        "rm('x');",
        "[1].map(async () => 1);",
        "(async () => { await sleep(1); })();",
        "setTimeout(async () => { await sleep(1); }, 1);",
      ];
      const imports = [
        'import { rm } from "node:fs/promises";',
        'import { setTimeout as sleep } from "node:timers/promises";',
        'import type { Sandbox } from "@sandbox0/sandbox";',
        'import type { Store } from "./store.ts";',
        "export function f(sandbox: Sandbox, store: Store, jobs: Map<number, () => Promise<void>>): void {",
      ];
      tree.write("packages/server/src/log/planted.ts", [...imports, ...floating, "}", ""].join("\n"));
      // A format without colours: the terminal's format puts them between a file's name and its line under CI.
      const { status, output } = run(tree, "oxlint", ["--type-aware", "--deny-warnings", "--format", "unix", "packages"]);
      expect(status).toBeGreaterThan(0);
      const missing = floating.filter((_, index) => !output.includes(`planted.ts:${imports.length + index + 1}:`));
      // What the linter said comes first: a report of a failure that is cut keeps its end, the statements it missed.
      expect(missing, `${output}\nnot reported:\n${missing.join("\n")}`).toEqual([]);
    } finally {
      tree.remove();
    }
  });
});
