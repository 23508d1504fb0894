import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";

/** A small tree with this repository's rules, in which a test plants violations. */
export interface PlantedTree {
  readonly root: string;
  write(path: string, text: string): void;
  remove(): void;
}

const PACKAGES = ["protocol", "sandbox", "harness", "server", "egress", "testkit"];
/** The rules under test, copied as they are. */
const RULES = ["tsconfig.json", ".dependency-cruiser.mjs", ".oxlintrc.json", "biome.json", ".gitignore"];

export function createPlantedTree(): PlantedTree {
  const root = mkdtempSync(join(tmpdir(), "sandbox0-planted-"));
  const write = (path: string, text: string): void => {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  for (const file of RULES) cpSync(file, join(root, file));
  mkdirSync(join(root, "node_modules/@sandbox0"), { recursive: true });
  mkdirSync(join(root, "node_modules/@types"));
  symlinkSync(resolve("node_modules/@types/node"), join(root, "node_modules/@types/node"));
  for (const name of PACKAGES) {
    const exports =
      name === "server" ? { "./main": "./src/main/index.ts" } : { ".": "./src/index.ts", "./testing": "./src/testing/index.ts" };
    const dependencies = Object.fromEntries(PACKAGES.map((other) => [`@sandbox0/${other}`, "*"]));
    write(`packages/${name}/package.json`, JSON.stringify({ name: `@sandbox0/${name}`, type: "module", exports, dependencies }));
    symlinkSync(`../../packages/${name}`, join(root, `node_modules/@sandbox0/${name}`));
  }
  // Stand-ins: a link to the real ones would resolve to a path outside this tree.
  for (const library of ["zod", "pg", "fastify", "@aws-sdk/client-s3"]) {
    write(`node_modules/${library}/package.json`, JSON.stringify({ name: library, type: "module", exports: "./index.js" }));
    write(`node_modules/${library}/index.js`, "export default {};\n");
    write(`node_modules/${library}/index.d.ts`, "declare const value: object;\nexport default value;\n");
  }
  execFileSync("git", ["init", "--quiet"], { cwd: root });
  return { root, write, remove: () => rmSync(root, { recursive: true, force: true }) };
}
