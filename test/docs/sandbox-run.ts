import Anthropic from "@anthropic-ai/sdk";
import type { DocsServer } from "./docs-server.ts";
import { RUN_MARK } from "./docs-model.ts";

const ENDED = /\nended with (\d+)\s*$/;

/**
 * Runs a script by the `bash` tool of an agent, in a real sandbox.
 * @returns what it printed
 * @throws Error when it ends as it should not
 */
export async function runInSandbox({ url, apiKey }: DocsServer, script: string, { fails }: { fails: boolean }): Promise<string> {
  const client = new Anthropic({ baseURL: url, apiKey });
  const environment = await client.beta.environments.create({ name: "docs" });
  const tools = [{ type: "agent_toolset_20260401" as const }];
  const agent = await client.beta.agents.create({ name: "docs", model: "claude-sonnet-5-5", tools });
  const session = await client.beta.sessions.create({ agent: agent.id, environment_id: environment.id });
  const stream = await client.beta.sessions.events.stream(session.id);
  const text = `${RUN_MARK}status=0\nbash -eu <<'END_OF_BLOCK' 2>&1 || status=$?\n${script}END_OF_BLOCK\necho\necho "ended with $status"`;
  await client.beta.sessions.events.send(session.id, { events: [{ type: "user.message", content: [{ type: "text", text }] }] });
  let result = "";
  for await (const event of stream) {
    if (event.type === "agent.tool_result")
      result = (event.content ?? []).map((block) => (block.type === "text" ? block.text : "")).join("");
    if (event.type === "session.status_idle") break;
  }
  await client.beta.sessions.delete(session.id);
  const [ending, code] = ENDED.exec(result) ?? [];
  if (ending === undefined || (code === "0") === fails) throw new Error(`in the sandbox: ${result}`);
  return result.slice(0, -ending.length);
}
