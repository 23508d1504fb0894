import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, normalize } from "node:path";

/** What the adapter says and hears, by the file that the program writes for it; what these need comes with them. */
const ROOTS = [
  "InitializeParams",
  "v2/ThreadStartParams",
  "v2/ThreadInjectItemsParams",
  "v2/ThreadUnsubscribeParams",
  "v2/TurnStartParams",
  "v2/TurnSteerParams",
  "v2/TurnInterruptParams",
  "v2/DynamicToolCallParams",
  "v2/DynamicToolCallResponse",
  "v2/RawResponseCompletedNotification",
  "v2/RawResponseItemCompletedNotification",
  "v2/AgentMessageDeltaNotification",
  "v2/ErrorNotification",
  "v2/TurnStatus",
];

const HEAD = (version: string): string => `/**
 * The part of the app-server protocol that the adapter uses, as ${version} writes it
 * (\`codex app-server generate-ts --experimental\`). Made by protocol.test.ts; not edited by hand.
 */
`;

/** The text of protocol.ts, from the program itself. */
export function generateProtocol(codex: string, biome: string): string {
  const dir = mkdtempSync(join(tmpdir(), "codex-protocol-"));
  try {
    const env = { HOME: dir, CODEX_HOME: dir, PATH: process.env.PATH };
    execFileSync(codex, ["app-server", "generate-ts", "--experimental", "--out", dir], { env, stdio: "pipe" });
    const version = execFileSync(codex, ["--version"], { env, encoding: "utf8" }).trim();
    const types = new Map<string, string>();
    for (const root of ROOTS) collect(dir, root, types);
    const declarations = [...types].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
    const source = `${HEAD(version)}\n${declarations.join("\n")}`;
    return execFileSync(biome, ["format", "--stdin-file-path=protocol.ts"], { input: source, encoding: "utf8" });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function collect(dir: string, path: string, types: Map<string, string>): void {
  const name = path.slice(path.lastIndexOf("/") + 1);
  if (types.has(name)) return;
  const text = readFileSync(join(dir, `${path}.ts`), "utf8");
  const bare = text.replace(/\/\*[\s\S]*?\*\/|^\/\/.*$|^import .*$/gm, "");
  types.set(name, `${bare.replace(/\n\s*\n+/g, "\n").trim()}\n`);
  for (const [, target = ""] of text.matchAll(/from "([^"]+)"/g)) collect(dir, normalize(join(dirname(path), target)), types);
}
