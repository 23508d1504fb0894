import { afterEach, beforeEach, expect, test } from "vitest";
import { createPlantedTree, type PlantedTree } from "./planted-tree.ts";
import { tidy } from "./tidy.ts";

let tree: PlantedTree;
beforeEach(() => {
  tree = createPlantedTree();
});
afterEach(() => tree.remove());

const lines = (count: number, text = "// line"): string => `${text}\n`.repeat(count);

test("a small tree has no findings", () => {
  tree.write("packages/server/src/log/append.ts", 'import { a } from "@sandbox0/protocol";\nexport const b = a;\n');
  tree.write("ARCHITECTURE.md", "See `packages/server/src/log/append.ts` and [it](packages/server/src/log/append.ts).\n");
  expect(tidy(tree.root)).toEqual([]);
});

test("a file of 500 lines is fine, one of 501 is not", () => {
  tree.write("packages/server/src/a.ts", lines(500));
  tree.write("packages/server/src/b.ts", lines(501));
  expect(tidy(tree.root)).toEqual(["packages/server/src/b.ts: 501 lines, at most 500"]);
});

test("a function of 70 lines is fine, one of 71 is not, and a test's describe may be long", () => {
  const long = (name: string, length: number): string => `export function ${name}() {\n${lines(length - 2)}}\n`;
  tree.write("packages/server/src/a.ts", long("fits", 70) + long("tooLong", 71));
  tree.write("packages/server/src/a.test.ts", `describe("x", () => {\n${lines(100)}});\n`);
  expect(tidy(tree.root)).toEqual(["packages/server/src/a.ts:71: a function of 71 lines, at most 70"]);
});

test("documents name only what exists", () => {
  tree.write(
    "AGENTS.md",
    "`packages/server/src/gone.ts`, `scripts/none` and [a map](docs/gone.md#part), not [this](https://example.com).\n",
  );
  expect(tidy(tree.root)).toEqual([
    "AGENTS.md: names packages/server/src/gone.ts, which does not exist",
    "AGENTS.md: names scripts/none, which does not exist",
    "AGENTS.md: names docs/gone.md, which does not exist",
  ]);
});

test("ARCHITECTURE.md and AGENTS.md stay short", () => {
  tree.write("ARCHITECTURE.md", lines(201));
  tree.write("AGENTS.md", lines(151));
  expect(tidy(tree.root)).toEqual(["AGENTS.md: 151 lines, at most 150", "ARCHITECTURE.md: 201 lines, at most 200"]);
});

test("a workspace dependency must be declared", () => {
  tree.write(
    "packages/harness/package.json",
    JSON.stringify({ name: "@sandbox0/harness", dependencies: { "@sandbox0/protocol": "*" } }),
  );
  tree.write(
    "packages/harness/src/a.ts",
    'import "@sandbox0/protocol";\nimport type { S } from "@sandbox0/sandbox";\nexport type T = S;\n',
  );
  expect(tidy(tree.root)).toEqual([
    "packages/harness/src/a.ts: imports @sandbox0/sandbox, which packages/harness/package.json does not list",
  ]);
});

test("versions are exact", () => {
  const dependencies = { "@sandbox0/protocol": "*", pg: "8.23.1", old: "npm:pg@8.0.0", zod: "^4.0.0", typescript: "5.9" };
  tree.write("packages/harness/package.json", JSON.stringify({ name: "@sandbox0/harness", dependencies }));
  expect(tidy(tree.root)).toEqual([
    "packages/harness/package.json: zod at '^4.0.0', not at an exact version",
    "packages/harness/package.json: typescript at '5.9', not at an exact version",
  ]);
});

test("the environment is read in config.ts only", () => {
  for (const path of ["main/config.ts", "main/compose.ts", "main/compose.test.ts"]) {
    tree.write(`packages/server/src/${path}`, "export const home = process.env.HOME;\n");
  }
  expect(tidy(tree.root)).toEqual([
    "packages/server/src/main/compose.ts: reads process.env; take the value as an option instead",
  ]);
});

test("the lockfile names no registry", () => {
  tree.write("package-lock.json", '{ "resolved": "https://registry.example/x.tgz" }\n');
  expect(tidy(tree.root)).toEqual(["package-lock.json: names a registry host (1 times); .npmrc must omit it"]);
});
