import { randomBytes } from "node:crypto";
import { join, relative } from "node:path";
import Anthropic from "@anthropic-ai/sdk";
import { explain } from "./client.ts";
import { type Command, EXIT, type Output, UserError } from "./command.ts";
import { formatEvent, type SessionEvent } from "./event-line.ts";
import { isPreview } from "./follow.ts";
import { printLine } from "./print.ts";
import { startServer } from "./server.ts";
import { loadSettings, type Settings } from "./settings.ts";

/** From the start of the server to the end of the turn; a real model needs well under a minute. */
const DEMO_TIMEOUT_MS = 5 * 60_000;
const ANTHROPIC_MODEL = "claude-haiku-5-5";
const OPENAI_MODEL = "gpt-5.4-mini";
const TASK =
  "Write a small bash script in /workspace that prints the primes below its argument, run it for 50, read back what it " +
  "wrote, and tell me the primes.";

interface Provider {
  description: string;
  model: string;
  /** Variables for the server: where the model is and its key. */
  environment: Record<string, string>;
  close?(): Promise<void>;
}

export const demo: Command = {
  name: "demo",
  summary: "Run one real session on this machine, driven by the official SDK.",
  positionals: [],
  options: {
    model: { type: "string", help: "the model (default: one that fits the provider key that is set)", value: "id" },
    harness: { type: "string", help: "what runs the agent (SANDBOX0_HARNESS, default sandpi)", value: "sandpi|claude|codex" },
    "data-dir": { type: "string", help: "where the demo's data lives (default .sandbox0/demo)", value: "path" },
  },
  details: `
The model comes from ANTHROPIC_API_KEY or OPENAI_API_KEY; without one, from the built-in scripted provider, which plays a
fixed script. Server, database, sandbox and tools are the real ones. Exit code 0 when the session did its work.`,
  async run(args, output) {
    const settings = loadSettings();
    const dataDir = args.text("data-dir") ?? join(settings.dataDir, "demo");
    const harness = args.text("harness") ?? settings.harness;
    const provider = await chooseProvider(settings, harness, args.text("model"));
    try {
      return await runDemo({ settings, dataDir, harness, provider, output });
    } finally {
      await provider.close?.();
    }
  },
};

/** A vendor's harness speaks its vendor's API alone. */
async function chooseProvider(settings: Settings, harness: string, model: string | undefined): Promise<Provider> {
  if (settings.anthropicApiKey !== undefined && harness !== "codex") {
    return { description: "Anthropic, by ANTHROPIC_API_KEY", model: model ?? ANTHROPIC_MODEL, environment: {} };
  }
  if (settings.openaiApiKey !== undefined && harness !== "claude") {
    return { description: "OpenAI, by OPENAI_API_KEY", model: model ?? OPENAI_MODEL, environment: {} };
  }
  const { createScriptedProvider, demoScript } = await import("@sandbox0/testkit");
  const scripted = await createScriptedProvider({ script: demoScript });
  return {
    description: "the built-in scripted provider (set ANTHROPIC_API_KEY or OPENAI_API_KEY for a real one)",
    model: model ?? (harness === "codex" ? OPENAI_MODEL : ANTHROPIC_MODEL),
    environment: {
      ANTHROPIC_BASE_URL: scripted.url,
      ANTHROPIC_API_KEY: "scripted",
      OPENAI_BASE_URL: `${scripted.url}/v1`,
      OPENAI_API_KEY: "scripted",
    },
    close: () => scripted.close(),
  };
}

interface Demo {
  settings: Settings;
  dataDir: string;
  harness: string;
  provider: Provider;
  output: Output;
}

async function runDemo({ settings, dataDir, harness, provider, output }: Demo): Promise<number> {
  printLine(output, `harness   ${harness}`);
  printLine(output, `model     ${provider.model} from ${provider.description}`);
  const shownDir = relative(process.cwd(), dataDir).startsWith("..") ? dataDir : relative(process.cwd(), dataDir);
  const apiKey = `demo-${randomBytes(16).toString("hex")}`;
  const startedAt = performance.now();
  const deadline = AbortSignal.timeout(DEMO_TIMEOUT_MS);
  const server = await startServer({
    ...settings.environment,
    // The embedded defaults, whatever else this shell is set up for.
    DATABASE_URL: undefined,
    SANDBOX0_BLOBS: undefined,
    SANDBOX0_HOST: "127.0.0.1",
    SANDBOX0_PORT: "0",
    SANDBOX0_ROLES: undefined,
    SANDBOX0_DATA_DIR: dataDir,
    SANDBOX0_API_KEY: apiKey,
    SANDBOX0_HARNESS: harness,
    ...provider.environment,
  });
  try {
    printLine(output, `server    ${server.url}, ready in ${Math.round(performance.now() - startedAt)} ms, data in ${shownDir}`);
    const client = new Anthropic({ baseURL: server.url, apiKey });
    const sessionId = await runSession(client, provider.model, deadline, output);
    printLine(output);
    printLine(output, "Look closer: the session is on disk. Start the server again on the same data,");
    printLine(output, `  SANDBOX0_API_KEY=demo npx sandbox0 serve --data-dir ${shownDir}`);
    printLine(output, "and in another terminal");
    printLine(output, `  SANDBOX0_API_KEY=demo npx sandbox0 sessions show ${sessionId}`);
    return EXIT.ok;
  } catch (error) {
    if (deadline.aborted) throw new UserError(`The session did not finish in ${DEMO_TIMEOUT_MS / 1000} s.`, { cause: error });
    throw explain(error, server.url);
  } finally {
    await server.close();
  }
}

/** What a program of the official SDK does: make an environment and an agent, start a session, stream, send, read. */
async function runSession(client: Anthropic, model: string, signal: AbortSignal, output: Output): Promise<string> {
  const options = { signal };
  const environment = await client.beta.environments.create({ name: "demo" }, options);
  const agent = await client.beta.agents.create(
    { name: "Demo", model, system: "You work in /workspace.", tools: [{ type: "agent_toolset_20260401" }] },
    options,
  );
  const session = await client.beta.sessions.create(
    { agent: agent.id, environment_id: environment.id, title: "Primes" },
    options,
  );
  printLine(output, `session   ${session.id}\n`);

  const stream = await client.beta.sessions.events.stream(session.id, {}, options);
  await client.beta.sessions.events.send(
    session.id,
    { events: [{ type: "user.message", content: [{ type: "text", text: TASK }] }] },
    options,
  );
  const toolErrors: SessionEvent[] = [];
  let toolResults = 0;
  for await (const event of stream) {
    if (isPreview(event)) continue;
    printLine(output, formatEvent(event));
    if (event.type === "agent.tool_result") {
      toolResults += 1;
      if (event.is_error === true) toolErrors.push(event);
    }
    if (event.type === "session.status_terminated") throw new UserError("The session was terminated: see session.error above.");
    if (event.type !== "session.status_idle") continue;
    if (event.stop_reason.type !== "end_turn")
      throw new UserError(`The turn stopped with ${event.stop_reason.type}, not end_turn.`);
    if (toolResults === 0) throw new UserError("The turn ended without a single tool call: nothing ran in the sandbox.");
    if (toolErrors.length === toolResults) throw new UserError("Every tool call failed: see above, and run 'sandbox0 doctor'.");
    return session.id;
  }
  throw new UserError("The stream ended before the session was idle.");
}
