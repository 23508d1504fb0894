/**
 * `make package`: the npm package `sandbox0`, as a directory (dist/package) and as a tarball (dist/sandbox0-<version>.tgz).
 *
 * Node strips no types below `node_modules`, so the package holds each module as JavaScript, at the place it has here: what a
 * module finds beside itself (migrations, documents, the console) it finds there too. npm's dependencies stay npm's, at the
 * versions that the lockfile has and the tests ran with.
 *
 * Usage: node scripts/package.ts [directory]   (default dist)
 */
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { type OutputChunk, type Plugin, rolldown } from "rolldown";
import { type Manifest, packageManifest, readManifest } from "./package-manifest.ts";
import { pinVersions } from "./pin-versions.ts";
import { runCommand } from "./run-command.ts";

const ROOT = resolve(import.meta.dirname, "..");
const DIST = resolve(process.argv[2] ?? join(ROOT, "dist"));
const TARGET = join(DIST, "package");

const DOOR = "apps/cli/bin/sandbox0.js";
const MAIN = "apps/cli/src/main.ts";
/** Copied as they are. Each must be there. */
const ASSETS = [
  "LICENSE",
  "README.md",
  "docs/*.md",
  "docs/llms.txt",
  "docs/grafana/*",
  "packaging/systemd/*",
  "packages/server/src/store/migrations/*.sql",
];
const CONSOLE = "apps/console";
/** Of the testkit, `sandbox0 demo` needs this part alone, and not the test servers' dependencies. */
const DEMO_PARTS: Readonly<Record<string, string>> = {
  "@sandbox0/testkit": "packages/testkit/src/scripted-provider/index.ts",
};

/** What is started as a program or a thread, or bundled for sandboxes, is named by its path: no import leads there. */
const programs: Plugin = {
  name: "programs",
  transform(code, id) {
    for (const [, path = ""] of code.matchAll(/new URL\(\s*"(\.[^"]+\.ts)",\s*import\.meta\.url\s*\)/g)) {
      this.emitFile({ type: "chunk", id: resolve(dirname(id), path) });
    }
  },
};

const demoParts: Plugin = {
  name: "demo-parts",
  resolveId: (name) => (name in DEMO_PARTS ? join(ROOT, DEMO_PARTS[name] ?? "") : null),
};

function isNpms(specifier: string): boolean {
  return !/^[./]/.test(specifier) && !specifier.startsWith("@sandbox0/");
}

/** One JavaScript module for each module that the program reaches, `packages/x/src/y.ts` as `packages/x/src/y.js`. */
async function compile(): Promise<OutputChunk[]> {
  const build = await rolldown({
    input: join(ROOT, MAIN),
    platform: "node",
    external: isNpms,
    plugins: [programs, demoParts],
    treeshake: false,
    checks: { pluginTimings: false },
  });
  const { output } = await build.generate({
    format: "esm",
    preserveModules: true,
    preserveModulesRoot: ROOT,
    virtualDirname: "packages/_virtual",
    entryFileNames: "[name].js",
    chunkFileNames: "[name].js",
  });
  await build.close();
  return output.map((file) => {
    if (file.type !== "chunk") throw new Error(`${file.fileName}: no module`);
    return file;
  });
}

/** Paths of programs, which no compiler knows for paths. Imports have their new names already. */
function renameProgramPaths(code: string): string {
  return code.replace(/"(\.{1,2}\/[\w./-]+)\.ts"/g, '"$1.js"');
}

function write(path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(join(TARGET, path)), { recursive: true });
  writeFileSync(join(TARGET, path), text, { mode });
}

function copy(path: string): void {
  cpSync(join(ROOT, path), join(TARGET, path), { recursive: true });
}

function copyAssets(): void {
  for (const pattern of ASSETS) {
    const found = globSync(pattern, { cwd: ROOT });
    if (found.length === 0) throw new Error(`${pattern}: there is none`);
    found.forEach(copy);
  }
}

/** With the version beside it, which the door reads. */
function writeDoor({ name, version }: Manifest): void {
  write(DOOR, readFileSync(join(ROOT, DOOR), "utf8").replace('"main.ts"', '"main.js"'), 0o755);
  write("apps/cli/package.json", `${JSON.stringify({ name, version, type: "module" })}\n`);
}

/** Not in its own folder, where a server may be serving from. */
async function buildConsole(): Promise<void> {
  const outDir = relative(join(ROOT, CONSOLE), join(TARGET, CONSOLE, "dist"));
  const options = ["--outDir", outDir, "--emptyOutDir", "--logLevel", "warn"];
  await runCommand(join(ROOT, "node_modules/.bin/vite"), ["build", CONSOLE, ...options], ROOT);
}

/** Whatever a module finds by its own place must be in the package. */
function checkFilesOf({ fileName, code }: OutputChunk): string[] {
  const named = [...renameProgramPaths(code).matchAll(/new URL\(\s*"(\.[^"]*)",\s*import\.meta\.url\s*\)/g)];
  return named
    .map(([, path = ""]) => relative(TARGET, resolve(TARGET, dirname(fileName), path)))
    .filter((path) => !existsSync(join(TARGET, path)))
    .map((path) => `${fileName} looks for ${path}, which is not in the package`);
}

/** npm's packages that the modules import: `@a/b/c.js` is of `@a/b`. */
function importedPackages(chunks: readonly OutputChunk[]): Set<string> {
  const specifiers = chunks.flatMap((chunk) => [...chunk.imports, ...chunk.dynamicImports]);
  const names = specifiers.filter(
    (name) => isNpms(name) && !name.startsWith("node:") && !chunks.some((c) => c.fileName === name),
  );
  return new Set(names.map((name) => name.split("/", name.startsWith("@") ? 2 : 1).join("/")));
}

async function main(): Promise<void> {
  rmSync(TARGET, { recursive: true, force: true });
  const chunks = await compile();
  for (const { fileName, code } of chunks) write(fileName, renameProgramPaths(code));
  copyAssets();
  await buildConsole();
  const [root, cli] = [readManifest(join(ROOT, "package.json")), readManifest(join(ROOT, "apps/cli/package.json"))];
  const workspaces = globSync("{packages,apps}/*/package.json", { cwd: ROOT }).map((path) => readManifest(join(ROOT, path)));
  writeDoor(cli);
  const manifest = packageManifest({ root, cli, workspaces, imported: importedPackages(chunks), bin: DOOR });
  write("package.json", `${JSON.stringify(manifest, null, 2)}\n`);
  const problems = chunks.flatMap(checkFilesOf);
  if (problems.length > 0) throw new Error(problems.join("\n"));
  await pinVersions(join(ROOT, "package-lock.json"), TARGET);
  await runCommand("npm", ["pack", "--pack-destination", DIST, "--loglevel=error"], TARGET);
}

await main();
