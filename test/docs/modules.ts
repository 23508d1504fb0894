import { spawn } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Block } from "./markdown-blocks.ts";

/** A program made of the TypeScript blocks of a page. */
export interface DocsModule {
  page: string;
  /** Of its first block. */
  line: number;
  /** Of all its blocks. */
  lines: readonly number[];
  source: string;
  /** Where the page wants it, if it wants it anywhere. */
  file: string | undefined;
  runs: boolean;
}

const LOCAL_URL = "http://127.0.0.1:8787";
const HEAD = `import Anthropic from "@anthropic-ai/sdk";
const client = new Anthropic({ baseURL: ${JSON.stringify(LOCAL_URL)}, apiKey: process.env.SANDBOX0_API_KEY });
`;
const IMPORT = /^import [^;]*;\n/gm;
const IMPORTS_ANTHROPIC = /^import (?:\{ )?Anthropic\b/m;

/** The modules of a page's blocks, in order (docs/AUTHORING.md). */
export function modulesOf(blocks: readonly Block[]): DocsModule[] {
  const prelude = blocks
    .filter((block) => block.language === "ts" && block.hidden)
    .map((block) => block.text)
    .join("");
  const modules: { first: Block; lines: number[]; text: string }[] = [];
  for (const block of blocks.filter(({ language, hidden }) => language === "ts" && !hidden)) {
    const last = modules.at(-1);
    if (block.words.includes("continues") && last !== undefined) {
      last.text += block.text;
      last.lines.push(block.line);
    } else {
      modules.push({ first: block, lines: [block.line], text: block.text });
    }
  }
  return modules.map(({ first, lines, text }) => ({
    page: first.page,
    line: first.line,
    lines,
    source: IMPORTS_ANTHROPIC.test(text) ? text : withPrelude(prelude, text),
    file: first.file,
    runs: first.file === undefined && first.notRun === undefined,
  }));
}

/** A block may declare what the prelude declares: it has a scope of its own. */
function withPrelude(prelude: string, text: string): string {
  const imports = [...text.matchAll(IMPORT)].map(([line]) => line).join("");
  return `${HEAD}${imports}${prelude}{\n${text.replaceAll(IMPORT, "")}}\nexport {};\n`;
}

/** For a server whose address nobody knew when the page was written. */
export const addressed = (text: string, url: string): string => text.replaceAll(LOCAL_URL, url);

/** Type-checks all of them as one program, as strictly as most people do. @returns the compiler's findings, empty when there are none */
export async function checkTypes(modules: readonly DocsModule[], directory: string): Promise<string> {
  mkdirSync(directory, { recursive: true });
  symlinkSync(resolve("node_modules"), join(directory, "node_modules"));
  for (const { page, line, source } of modules) {
    writeFileSync(join(directory, `${page.replaceAll(/\W+/g, "-")}-line-${line}.ts`), source);
  }
  const compilerOptions = {
    strict: true,
    noEmit: true,
    target: "es2024",
    lib: ["es2024", "dom"],
    module: "nodenext",
    moduleDetection: "force",
    allowImportingTsExtensions: true,
    skipLibCheck: true,
    types: ["node"],
  };
  writeFileSync(join(directory, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
  writeFileSync(join(directory, "package.json"), JSON.stringify({ type: "module" }));
  const child = spawn(resolve("node_modules/.bin/tsc"), ["-p", directory, "--pretty", "false"], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: `${resolve("node_modules/.bin")}:/usr/bin:/bin` },
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk;
    });
  const code = await new Promise<number | null>((settle, reject) => child.on("error", reject).on("close", settle));
  return code === 0 ? "" : output || `tsc ended with ${code}`;
}
