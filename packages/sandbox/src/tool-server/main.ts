/**
 * The tool server: runs inside the sandbox and answers file tool calls with the SDK's own implementation. It is built
 * into one file (`runtime.ts`), because loading the SDK as it is would take five times as long as everything else.
 */
import { createReadStream, writeSync } from "node:fs";
import { argv, exit } from "node:process";
import {
  betaEditTool,
  betaGlobTool,
  betaGrepTool,
  betaReadTool,
  betaWriteTool,
} from "@anthropic-ai/sdk/tools/agent-toolset/node";
import { READY_ID, type AnswerMessage, type CallMessage, type CancelMessage, type ToolServerSetup } from "./messages.ts";

// Read and written as files: `process.stdin` and `process.stdout` would load Node's network modules first.
const [STDIN, STDOUT, STDERR] = [0, 1, 2];
const NEWLINE = 10;

const setup = readSetup(argv.slice(2));
const tools = new Map(
  [betaReadTool, betaWriteTool, betaEditTool, betaGlobTool, betaGrepTool]
    .map((create) => create(setup))
    .map((tool) => [tool.name, tool]),
);
const running = new Map<number, AbortController>();

function readSetup(args: readonly string[]): ToolServerSetup {
  const valuesOf = (option: string): string[] => args.flatMap((arg, index) => (args[index - 1] === option ? [arg] : []));
  const [workdir = "/"] = valuesOf("--workdir");
  return { workdir, allowedRoots: valuesOf("--allow"), readOnlyRoots: valuesOf("--read-only") };
}

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
  answer(message).then(send, (error: unknown) => {
    writeSync(STDERR, `${String(error)}\n`);
    exit(1);
  });
}

function send(message: AnswerMessage): void {
  writeSync(STDOUT, `${JSON.stringify(message)}\n`);
}

async function serve(): Promise<void> {
  let partial: Buffer[] = [];
  for await (const chunk of createReadStream("", { fd: STDIN }) as AsyncIterable<Buffer>) {
    let start = 0;
    for (let newline = chunk.indexOf(NEWLINE); newline >= 0; newline = chunk.indexOf(NEWLINE, start)) {
      receive(Buffer.concat([...partial, chunk.subarray(start, newline)]).toString("utf8"));
      partial = [];
      start = newline + 1;
    }
    partial.push(chunk.subarray(start));
  }
  // The client is gone: there is nobody to answer.
  exit(0);
}

send({ id: READY_ID, text: "", isError: false });
void serve();
