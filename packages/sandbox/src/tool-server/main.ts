/**
 * The tool server: runs inside the sandbox and answers file tool calls with the SDK's own implementation. It is built
 * into one file (`runtime.ts`), because loading the SDK as it is would take five times as long as everything else.
 */
import { stderr, stdin, stdout, argv, exit } from "node:process";
import {
  betaEditTool,
  betaGlobTool,
  betaGrepTool,
  betaReadTool,
  betaWriteTool,
} from "@anthropic-ai/sdk/tools/agent-toolset/node";
import type { AnswerMessage, CallMessage, CancelMessage, ToolServerSetup } from "./messages.ts";

const setup = JSON.parse(argv[2] ?? "{}") as ToolServerSetup;
const tools = new Map(
  [betaReadTool, betaWriteTool, betaEditTool, betaGlobTool, betaGrepTool]
    .map((create) => create(setup))
    .map((tool) => [tool.name, tool]),
);
const running = new Map<number, AbortController>();

async function answer(call: CallMessage): Promise<AnswerMessage> {
  const tool = tools.get(call.name);
  if (tool === undefined) return { id: call.id, text: `unknown tool: ${call.name}`, isError: true };
  const abort = new AbortController();
  running.set(call.id, abort);
  try {
    const result = await tool.run(call.input, { toolUse: undefined, signal: abort.signal } as never);
    return { id: call.id, text: typeof result === "string" ? result : JSON.stringify(result), isError: false };
  } catch (error) {
    return { id: call.id, text: errorText(error), isError: true };
  } finally {
    running.delete(call.id);
  }
}

/** As the SDK's own runners show it: a tool's own message as it is, anything else with its name in front. */
function errorText(error: unknown): string {
  if (!(error instanceof Error)) return `Error: ${String(error)}`;
  return error.name === "ToolError" ? error.message : `Error: ${error.message}`;
}

function receive(line: string): void {
  const message = JSON.parse(line) as CallMessage | CancelMessage;
  if ("cancel" in message) {
    running.get(message.cancel)?.abort();
    return;
  }
  answer(message).then(
    (result) => stdout.write(`${JSON.stringify(result)}\n`),
    (error: unknown) => {
      stderr.write(`${String(error)}\n`);
      exit(1);
    },
  );
}

let partial: string[] = [];
stdin.setEncoding("utf8");
stdin.on("data", (chunk: string) => {
  const lines = chunk.split("\n");
  for (const line of lines.slice(0, -1)) {
    partial.push(line);
    const whole = partial.join("");
    partial = [];
    receive(whole);
  }
  partial.push(lines.at(-1) ?? "");
});
// The client is gone: there is nobody to answer.
stdin.on("end", () => exit(0));
