/**
 * The rules no other tool checks: size limits, documents that name real paths, workspace dependencies that are declared,
 * at exact versions, one reader of the environment, no registry host in the lockfile. Prints one line a finding; exit code 1 if there is any.
 *
 * Usage: node scripts/tidy.ts [root]
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import ts from "typescript";

const FILE_LINES_MAX = 500;
const FUNCTION_LINES_MAX = 70;
/** Documents that must stay short enough to be read whole. */
const DOCUMENT_LINES_MAX: Record<string, number> = { "ARCHITECTURE.md": 200, "AGENTS.md": 150 };
/** Documents whose paths a check verifies: a map that lies is worse than none. */
const DOCUMENTS_WITH_PATHS = ["ARCHITECTURE.md", "AGENTS.md", "README.md"];
/** Each program reads `process.env` in one file; scripts and tests may too. */
const ENVIRONMENT_READERS = /^(packages\/server\/src\/main\/config\.ts|apps\/cli\/src\/settings\.ts|apps\/cli\/bin\/.*)$/;
const TEST_OR_TOOL = /(^|\/)(scripts|test|bench|testing)\/|\.(test|fixture)\.tsx?$|^packages\/testkit\/|\.config\.ts$/;
const SOURCE = /\.(ts|tsx|mjs|js)$/;

/** Files git knows or would add, relative to `root`. */
function listFiles(root: string): string[] {
  const args = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
  const listed = execFileSync("git", args, { cwd: root, encoding: "utf8" }).split("\0");
  return [...new Set(listed)].filter((path) => path !== "" && existsSync(join(root, path))).sort();
}

function isDescribeCallback(node: ts.Node): boolean {
  const call = node.parent;
  return ts.isCallExpression(call) && /^describe\b/.test(call.expression.getText());
}

function checkSource(path: string, text: string): string[] {
  const findings: string[] = [];
  const lines = text.split("\n").length - 1;
  if (lines > FILE_LINES_MAX) findings.push(`${path}: ${lines} lines, at most ${FILE_LINES_MAX}`);
  if (/\bprocess\.env\b/.test(text) && !ENVIRONMENT_READERS.test(path) && !TEST_OR_TOOL.test(path)) {
    findings.push(`${path}: reads process.env; take the value as an option instead`);
  }
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && "body" in node && node.body !== undefined && !isDescribeCallback(node)) {
      const first = source.getLineAndCharacterOfPosition(node.getStart(source)).line;
      const length = source.getLineAndCharacterOfPosition(node.end).line - first + 1;
      if (length > FUNCTION_LINES_MAX) {
        findings.push(`${path}:${first + 1}: a function of ${length} lines, at most ${FUNCTION_LINES_MAX}`);
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return findings;
}

/** Every `@sandbox0/x` a workspace's sources import must stand in its own manifest: npm's links hide the omission. */
function checkDeclared(root: string, files: readonly string[]): string[] {
  const findings = new Set<string>();
  for (const manifestPath of files.filter((path) => /^(packages|apps)\/[^/]+\/package\.json$/.test(path))) {
    const folder = manifestPath.replace(/package\.json$/, "");
    const manifest = JSON.parse(readFileSync(join(root, manifestPath), "utf8")) as {
      name: string;
      dependencies?: Record<string, string>;
      devDependencies?: Record<string, string>;
    };
    const declared = new Set([manifest.name, ...Object.keys({ ...manifest.dependencies, ...manifest.devDependencies })]);
    for (const path of files.filter((file) => file.startsWith(folder) && SOURCE.test(file))) {
      for (const [, name] of readFileSync(join(root, path), "utf8").matchAll(/(?:from|import\()\s*"(@sandbox0\/[^/"]+)/g)) {
        if (name !== undefined && !declared.has(name))
          findings.add(`${path}: imports ${name}, which ${manifestPath} does not list`);
      }
    }
  }
  return [...findings];
}

/** Every dependency at an exact version: what is tested is what is installed, also by who ignores the lockfile. */
function checkVersions(root: string, files: readonly string[]): string[] {
  return files
    .filter((path) => /(^|\/)package\.json$/.test(path))
    .flatMap((path) => {
      const manifest = JSON.parse(readFileSync(join(root, path), "utf8")) as Record<string, Record<string, string> | undefined>;
      const versions = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies };
      return Object.entries(versions)
        .filter(([name, version]) => !name.startsWith("@sandbox0/") && !/^(npm:.*@)?\d+\.\d+\.\d+\S*$/.test(version))
        .map(([name, version]) => `${path}: ${name} at '${version}', not at an exact version`);
    });
}

/** Paths in backticks or links that look like files of this repository must exist. */
function checkDocument(root: string, path: string, text: string): string[] {
  const findings: string[] = [];
  const lines = text.split("\n").length - 1;
  const linesMax = DOCUMENT_LINES_MAX[path];
  if (linesMax !== undefined && lines > linesMax) findings.push(`${path}: ${lines} lines, at most ${linesMax}`);
  if (!DOCUMENTS_WITH_PATHS.includes(path)) return findings;
  const roots = "packages|apps|docs|test|bench|scripts|\\.ci";
  const named = [
    ...text.matchAll(new RegExp(`\`((?:${roots})/[\\w./-]*)\``, "g")),
    ...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g),
  ];
  for (const [, target] of named) {
    if (target !== undefined && !existsSync(join(root, target))) findings.push(`${path}: names ${target}, which does not exist`);
  }
  return findings;
}

function checkLockfile(root: string): string[] {
  const path = "package-lock.json";
  if (!existsSync(join(root, path))) return [];
  const hosts = readFileSync(join(root, path), "utf8").match(/"resolved": "(?:https?|git)[^"]*"/g) ?? [];
  return hosts.length === 0 ? [] : [`${path}: names a registry host (${hosts.length} times); .npmrc must omit it`];
}

/** @returns one line a finding, none for a tidy tree */
export function tidy(root: string): string[] {
  const files = listFiles(root);
  const findings = [...checkDeclared(root, files), ...checkVersions(root, files), ...checkLockfile(root)];
  for (const path of files) {
    if (SOURCE.test(path)) findings.push(...checkSource(path, readFileSync(join(root, path), "utf8")));
    if (path.endsWith(".md")) findings.push(...checkDocument(root, path, readFileSync(join(root, path), "utf8")));
  }
  return findings;
}

if (import.meta.main) {
  const findings = tidy(resolve(process.argv[2] ?? "."));
  for (const finding of findings) console.error(finding);
  if (findings.length > 0) process.exitCode = 1;
}
