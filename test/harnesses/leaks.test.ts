import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { asOffered, call, hold, say } from "@sandbox0/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import pg from "pg";
import { type Canaries, createCanaries } from "../attack/stage/canaries.ts";
import { conformanceServer, TOOLSET } from "../conformance/fixture/conformance-server.ts";
import { message, only, saidBy, textOf } from "../conformance/fixture/test-session.ts";
import { type SandboxProcess, sandboxProcesses } from "../crash/sandbox-processes.ts";
import { findInMemory } from "./process-memory.ts";
import { agentOn, VENDOR_HARNESSES } from "./vendor-harnesses.ts";

const canaries = createCanaries();
const SECRET = {
  provider: canaries.make("Provider"),
  variable: canaries.make("Variable"),
  bearer: canaries.make("Bearer"),
};
const server = conformanceServer({ ANTHROPIC_API_KEY: SECRET.provider, OPENAI_API_KEY: SECRET.provider });

let db: pg.Pool;
beforeAll(() => {
  db = new pg.Pool({ connectionString: server.connectionString, max: 2 });
});
afterAll(() => db.end());

/** What runs in a session's sandbox now. */
async function processesOf(sessionId: string): Promise<SandboxProcess[]> {
  const { rows } = await db.query<{ volume: string }>("select volume_id as volume from session_volumes where session_id = $1", [
    sessionId,
  ]);
  return sandboxProcesses(process.pid).filter(({ volume }) => volume.endsWith(rows[0]?.volume ?? "none"));
}
const isProgram = ({ program }: SandboxProcess): boolean => program.startsWith("/opt/harness/");

/** What the processes of a sandbox have: arguments, environment, memory, and the files that they alone see. */
async function findInProcesses(processes: readonly SandboxProcess[]): Promise<string[]> {
  const hits: string[] = [];
  for (const { pid, program } of processes) {
    try {
      for (const name of ["cmdline", "environ"]) {
        const found = canaries.find(await readFile(`/proc/${pid}/${name}`));
        hits.push(...found.map((hit) => `${name} of ${program}: ${hit}`));
      }
      hits.push(...(await findInMemory(pid, canaries)).map((hit) => `memory of ${program}: ${hit}`));
      for (const dir of ["dev/shm", "tmp", "home", "workspace", "mnt"])
        hits.push(...(await canaries.findInFiles(join(`/proc/${pid}/root`, dir))));
    } catch (error) {
      // It ended while we looked at it, or at those before it.
      if (!["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
    }
  }
  return hits;
}

/** On the host: the volumes, and what a sandbox has besides. */
async function findInSandboxFiles(sought: Canaries): Promise<string[]> {
  const dirs = ["volumes", "sandboxes"].map((name) => join(server.dataDir, "sandbox", name));
  return (await Promise.all(dirs.map((dir) => sought.findInFiles(dir)))).flat();
}

async function createVault(): Promise<string> {
  const { vaults } = server.client.beta;
  const { id } = await vaults.create({ display_name: "secrets" });
  await vaults.credentials.create(id, {
    auth: {
      type: "environment_variable",
      secret_name: "TOKEN",
      secret_value: SECRET.variable,
      networking: { type: "unrestricted" },
    },
  });
  await vaults.credentials.create(id, {
    auth: { type: "static_bearer", mcp_server_url: "https://mcp.example.com/mcp", token: SECRET.bearer },
  });
  return id;
}

describe.each(VENDOR_HARNESSES)("a session on $name", (harness) => {
  test.skipIf(process.getuid?.() !== 0)("has no secret in its sandbox, its program or its state", async () => {
    const agent = { make: { ...agentOn(harness), tools: [TOOLSET] } };
    const session = await server.createSession({ agent, vault_ids: [await createVault()] });
    const gate = server.gate();
    const search =
      "env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\0' '\\n' > seen; ls -laR / > files 2>/dev/null; echo";
    const marker = server.play(
      asOffered(() => call("bash", { command: search })),
      asOffered(() => call("bash", { command: "echo $TOKEN > token; cat token seen" })),
      [hold(gate), say("I found nothing.")],
    );
    await session.send(message(marker));
    // Its program waits for the model, and stays while we look.
    await gate.reached;
    const running = await processesOf(session.id);
    expect(running.filter(isProgram)).not.toEqual([]);
    expect(await findInProcesses(running)).toEqual([]);
    const left = (await processesOf(session.id)).map(({ pid }) => pid);
    const programs = running.filter(isProgram).map(({ pid }) => pid);
    expect(left, "the program was there while we looked").toEqual(expect.arrayContaining(programs));
    gate.open();
    const events = await session.rest();
    expect(saidBy(events)).toEqual(["I found nothing."]);
    const [, shown] = only(events, "agent.tool_result").map(textOf);
    expect(shown, "the placeholder is there, so what is looked for could have been").toMatch(/^\S{20,}/);
    // The provider had the key, of the gateway.
    const keys = server.requests(marker).map(({ headers }) => headers["x-api-key"] ?? headers.authorization);
    expect(new Set(keys.map((key) => String(key).replace(/^bearer /i, "")))).toEqual(new Set([SECRET.provider]));

    expect(await findInSandboxFiles(canaries)).toEqual([]);
    expect(await canaries.findInDatabase(db)).toEqual([]);
    expect(canaries.find(JSON.stringify(events))).toEqual([]);
    expect(canaries.find(JSON.stringify(server.requests(marker).map(({ body }) => body)))).toEqual([]);
  });

  test.skipIf(process.getuid?.() !== 0)("is searched where a secret would be found", async () => {
    const planted = createCanaries();
    const secret = planted.make("Planted");
    const gate = server.gate();
    const agent = { make: { ...agentOn(harness), tools: [TOOLSET] } };
    const session = await server.createSession({ agent });
    const marker = server.play(
      asOffered(() => call("bash", { command: `echo ${secret} > ~/planted` })),
      [hold(gate), say(`It is ${secret}.`)],
    );
    await session.send(message(marker));
    await gate.reached;
    const program = (await processesOf(session.id)).find(isProgram);
    expect(await findInMemory(program?.pid ?? 0, planted)).not.toEqual([]);
    expect(await planted.findInFiles(`/proc/${program?.pid}/root/home`)).not.toEqual([]);
    gate.open();
    await session.rest();
    expect(await findInSandboxFiles(planted)).not.toEqual([]);
    expect(await planted.findInDatabase(db)).not.toEqual([]);
  });
});
