import Anthropic from "@anthropic-ai/sdk";

/** The plain program of every guide: it knows the server by its address and a key, and nothing else of it. */
const client = new Anthropic({ baseURL: process.env.PROGRAM_BASE_URL, apiKey: process.env.PROGRAM_API_KEY });

const environment = await client.beta.environments.create({ name: "simple-example-environment" });
const agent = await client.beta.agents.create({
  name: "Simple example",
  model: "claude-sonnet-4-6",
  tools: [{ type: "agent_toolset_20260401" }],
});
const session = await client.beta.sessions.create({
  agent: { type: "agent", id: agent.id },
  environment_id: environment.id,
});

const stream = await client.beta.sessions.events.stream(session.id);
await client.beta.sessions.events.send(session.id, {
  events: [{ type: "user.message", content: [{ type: "text", text: "Print the primes below 50." }] }],
});
for await (const event of stream) {
  console.log(event.type);
  if (event.type === "agent.message")
    for (const block of event.content) if (block.type === "text") console.log(`  ${block.text}`);
  if (event.type === "agent.tool_use") console.log(`  ${event.name} ${JSON.stringify(event.input)}`);
  if (event.type === "session.status_idle" && event.stop_reason.type === "end_turn") break;
}
const { status } = await client.beta.sessions.retrieve(session.id);
console.log(`session ${status}`);
await client.beta.sessions.delete(session.id);
await client.beta.agents.archive(agent.id);
await client.beta.environments.delete(environment.id);
