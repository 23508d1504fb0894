import { readFile } from "node:fs/promises";
import type Anthropic from "@anthropic-ai/sdk";
import type { BetaCloudConfigParams } from "@anthropic-ai/sdk/resources/beta/environments";
import type { SessionCreateParams } from "@anthropic-ai/sdk/resources/beta/sessions";
import { byMarker, call, say, type Script, type ScriptedProvider, type Step, until } from "@sandbox0/testkit";
import { type LiveStream, openStream, type StreamEvent } from "../../conformance/fixture/live-stream.ts";
import { message, textOf } from "../../conformance/fixture/test-session.ts";
import type { Attack, Outcome } from "./hostile-client.ts";

const MODEL = "claude-haiku-5-5";
const CLIENT_SOURCE = new URL("hostile-client.ts", import.meta.url);
const CLIENT_PATH = "/workspace/hostile-client.ts";
/** Every sandbox has it, whatever the machine has. */
const NODE_PATH = "/opt/sandbox0/bin/node";
const COMMAND_TIMEOUT_MS = 60_000;
const ATTACKS_TIMEOUT_MS = 100_000;
/** What a loaded machine adds to a command, its sandbox and its model requests. */
const TURN_GRACE_MS = 60_000;

export type Networking = NonNullable<BetaCloudConfigParams["networking"]>;

/** A session whose model does whatever the test says. */
export interface HostileSession {
  readonly id: string;
  readonly stream: LiveStream;
  /** The model calls bash with this command. @returns the text of the result */
  bash(command: string, timeoutMs?: number): Promise<string>;
  /** The model calls a tool, chosen among those that it is offered where it is a function. @returns the text of the result */
  call(name: ToolChoice, input: Record<string, unknown>, timeoutMs?: number): Promise<string>;
  /** Sends a message with this text, plays these steps, and waits until the session is idle. @returns its new events */
  turn(text: string, steps: readonly (Step | Script)[], timeoutMs?: number): Promise<readonly StreamEvent[]>;
  /** Runs the hostile client in the sandbox: one attack after the other. @returns an outcome for each */
  attack(attacks: readonly Attack[]): Promise<Outcome[]>;
}

type ToolChoice = string | ((offered: readonly string[]) => string);

export interface HostileOptions {
  networking: Networking;
  /** Of one that is there already; `networking` says nothing then. */
  environmentId?: string;
  vaultIds?: string[];
  resources?: SessionCreateParams["resources"];
  agent?: Partial<Parameters<Anthropic["beta"]["agents"]["create"]>[0]>;
}

export async function startHostileSession(
  provider: ScriptedProvider,
  client: Anthropic,
  options: HostileOptions,
): Promise<HostileSession> {
  const environmentId = options.environmentId ?? (await createEnvironment(client, options.networking));
  const agent = await client.beta.agents.create({
    name: "hostile",
    model: MODEL,
    tools: [{ type: "agent_toolset_20260401" }],
    ...options.agent,
  });
  const session = await client.beta.sessions.create({
    agent: agent.id,
    environment_id: environmentId,
    ...(options.vaultIds === undefined ? {} : { vault_ids: options.vaultIds }),
    ...(options.resources === undefined ? {} : { resources: options.resources }),
  });
  return attachHostileSession(provider, client, session.id);
}

/** The same with a session that there is. */
export async function attachHostileSession(provider: ScriptedProvider, client: Anthropic, id: string): Promise<HostileSession> {
  return new Session(client, provider, id, await openStream(client, id));
}

async function createEnvironment(client: Anthropic, networking: Networking): Promise<string> {
  const { id } = await client.beta.environments.create({ name: "hostile", config: { type: "cloud", networking } });
  return id;
}

/** What the hostile client reads, in a sandbox or elsewhere. */
export function encodeAttacks(attacks: readonly Attack[]): string {
  return Buffer.from(JSON.stringify(attacks)).toString("base64");
}

class Session implements HostileSession {
  readonly id: string;
  readonly stream: LiveStream;
  private readonly client: Anthropic;
  private readonly provider: ScriptedProvider;
  private isArmed = false;
  private turns = 0;

  constructor(client: Anthropic, provider: ScriptedProvider, id: string, stream: LiveStream) {
    this.client = client;
    this.provider = provider;
    this.id = id;
    this.stream = stream;
  }

  async call(choice: ToolChoice, input: Record<string, unknown>, timeoutMs?: number): Promise<string> {
    const step: Script = ({ toolNames }) => call(typeof choice === "string" ? choice : choice(toolNames), input);
    const events = await this.turn("", [step, say("Done.")], timeoutMs);
    const result = events.find((event) => event.type === "agent.tool_result" || event.type === "agent.mcp_tool_result");
    if (result === undefined) throw new Error(`no result of ${String(choice)}: ${JSON.stringify(events)}`);
    return textOf(result as { content?: readonly object[] });
  }

  async turn(text: string, steps: readonly (Step | Script)[], timeoutMs = COMMAND_TIMEOUT_MS): Promise<readonly StreamEvent[]> {
    const marker = `<${this.id} ${++this.turns}>`;
    const remove = this.provider.onRequest(byMarker({ [marker]: steps }));
    const before = this.stream.received.length;
    try {
      await this.client.beta.sessions.events.send(this.id, { events: [message(`${marker} ${text}`)] });
      const { received } = this.stream;
      await until(() => received.slice(before).some(({ type }) => type === "session.status_idle"), {
        timeoutMs: timeoutMs + TURN_GRACE_MS,
        describe: () => received.slice(before),
      });
    } finally {
      remove();
    }
    return this.stream.received.slice(before);
  }

  bash(command: string, timeoutMs = COMMAND_TIMEOUT_MS): Promise<string> {
    return this.call("bash", { command, timeout_ms: timeoutMs }, timeoutMs);
  }

  async attack(attacks: readonly Attack[]): Promise<Outcome[]> {
    if (!this.isArmed) {
      await this.call("write", { file_path: CLIENT_PATH, content: await readFile(CLIENT_SOURCE, "utf8") });
      this.isArmed = true;
    }
    const output = await this.bash(`${NODE_PATH} ${CLIENT_PATH} 2>&1 <<< ${encodeAttacks(attacks)}`, ATTACKS_TIMEOUT_MS);
    const line = output.split("\n").findLast((text) => text.startsWith("[{"));
    if (line === undefined) throw new Error(`the attack did not run: ${output}`);
    return JSON.parse(line) as Outcome[];
  }
}
