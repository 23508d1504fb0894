import { call, say, until } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { type Event, message, only, textOf } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

/** Without any registry: what is really installed from some is in `test/attack/environment-packages.test.ts`. */
const server = conformanceServer();
/** On a machine that has too much to do. */
const BUILD_TIMEOUT_MS = 110_000;

const environments = () => server.client.beta.environments;

async function untilBuilt(environmentId: string): Promise<string> {
  let build: { state: string } = { state: "" };
  await until(
    async () => {
      build = await server.client.get(`/sandbox0/v1/environments/${environmentId}/build`);
      return build.state === "ready" || build.state === "failed";
    },
    { timeoutMs: BUILD_TIMEOUT_MS, describe: () => build },
  );
  return build.state;
}

/** A command in a new session of the environment. @returns the session's log, and what the command printed */
async function runIn(environmentId: string, command: string): Promise<{ events: Event[]; printed: string }> {
  const session = await server.createSession({ agent: { make: { tools: [TOOLSET] } }, environment_id: environmentId });
  await session.send(message(server.play(call("bash", { command }), say("Done."))));
  const events = await session.rest();
  return { events, printed: only(events, "agent.tool_result").map(textOf).join() };
}

verifies(
  "environments.prepared",
  "what an environment is prepared with is in all its sessions, as it is when they begin",
  async () => {
    const setup = (text: string) => ({ "sandbox0.setup": `echo ${text} > /etc/prepared; id -u >> /etc/prepared` });
    const { id } = await environments().create({ name: "prepared", metadata: setup("one") });
    expect(await untilBuilt(id)).toBe("ready");
    for (let i = 0; i < 2; i++) expect((await runIn(id, "cat /etc/prepared; id -u")).printed).toBe("one\n0\n1000");
    await environments().update(id, { metadata: setup("two") });
    expect(await untilBuilt(id)).toBe("ready");
    expect((await runIn(id, "cat /etc/prepared")).printed).toBe("two\n0");
    // Not of the official surface.
    expect(await environments().retrieve(id)).not.toHaveProperty("build");
  },
);

verifies("environments.packages-failed", "what cannot be installed is said, and the session goes on without", async () => {
  const config = { type: "cloud" as const, packages: { pip: ["=="] } };
  const { id } = await environments().create({ name: "broken", config });
  expect(await untilBuilt(id)).toBe("failed");
  const { events, printed } = await runIn(id, "echo works");
  expect(printed).toBe("works");
  expect(only(events, "session.error").map(({ error }) => error)).toEqual([
    { type: "unknown_error", message: expect.stringMatching(/packages[\s\S]*pip/), retry_status: { type: "retrying" } },
  ]);
});
