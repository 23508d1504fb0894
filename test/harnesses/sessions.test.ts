import { asOffered, call, say, until } from "@sandbox0/testkit";
import { describe, expect, test } from "vitest";
import { conformanceServer, TOOLSET } from "../conformance/fixture/conformance-server.ts";
import { allow, answer, message, only, saidBy, stopReasons, textOf, waitingIds } from "../conformance/fixture/test-session.ts";
import { agentOn, VENDOR_HARNESSES } from "./vendor-harnesses.ts";

const server = conformanceServer();

describe.each(VENDOR_HARNESSES)("a session on $name", (harness) => {
  const agent = (extra: object = {}) => ({ make: { ...agentOn(harness), tools: [TOOLSET], ...extra } });
  const bash = (command: string) => asOffered(() => call("bash", { command }));
  const write = (file_path: string, content: string) => asOffered(() => call("write", { file_path, content }));

  test("runs its tools in its sandbox, and remembers the turn before", async () => {
    const session = await server.createSession({ agent: agent() });
    const first = server.play(
      bash("pwd; echo $HOME; echo kept > file; uname"),
      write("/workspace/note.txt", "written by the model"),
      say("All is done."),
    );
    await session.send(message(first));
    const events = await session.rest();
    const [used, wrote] = only(events, "agent.tool_use");
    expect(used).toMatchObject({ name: "bash", input: { command: expect.stringContaining("uname") } });
    expect(wrote).toMatchObject({ name: "write", input: { file_path: "/workspace/note.txt", content: "written by the model" } });
    const [result] = only(events, "agent.tool_result");
    expect(textOf(result ?? {})).toContain("/workspace\n/home/agent\nLinux");
    expect(saidBy(events)).toEqual(["All is done."]);
    const ends = only(events, "span.model_request_end");
    expect(ends).toHaveLength(3);
    for (const { model_usage } of ends) expect(model_usage.output_tokens).toBeGreaterThan(0);

    const second = server.play(bash("cat file note.txt"), say("It is still there."));
    await session.send(message(second));
    const later = await session.rest();
    expect(textOf(only(later, "agent.tool_result").at(-1) ?? {})).toContain("kept\nwritten by the model");
    expect(saidBy(later).at(-1)).toBe("It is still there.");
    const asked = server.requests(second).at(-1);
    expect(asked?.messages.map(({ text }) => text).join("\n")).toContain("All is done.");
    expect(stopReasons(later)).toEqual(["end_turn", "end_turn"]);
  });

  test("waits for the client with nothing running, and goes on with the answer", async () => {
    const lookup = { type: "custom" as const, name: "lookup", description: "asks", input_schema: { type: "object" as const } };
    const asking = { ...TOOLSET, default_config: { permission_policy: { type: "always_ask" as const } } };
    const session = await server.createSession({ agent: agent({ tools: [asking, lookup] }) });
    const marker = server.play(
      asOffered(() => [call("lookup", {}), call("bash", { command: "echo ran" })]),
      say("Thank you."),
    );
    await session.send(message(marker));
    const events = await session.rest();
    const [custom] = only(events, "agent.custom_tool_use");
    const [used] = only(events, "agent.tool_use");
    expect(waitingIds(events)).toEqual(expect.arrayContaining([custom?.id, used?.id]));
    await session.send(answer(custom?.id ?? "", "found"), allow(used?.id ?? ""));
    const later = await session.rest();
    expect(saidBy(later)).toEqual(["Thank you."]);
    expect(textOf(only(later, "agent.tool_result")[0] ?? {})).toContain("ran");
    const given = server
      .requests(marker)
      .at(-1)
      ?.messages.flatMap(({ results }) => results);
    expect(given?.map(({ text }) => text.trim())).toEqual(expect.arrayContaining(["found", "ran"]));
  });

  test("reaches its model and nothing else when its environment allows nothing", async () => {
    const environment = await server.client.beta.environments.create({
      name: `shut-${harness.name}`,
      config: { type: "cloud", networking: { type: "limited", allowed_hosts: [] } },
    });
    const session = await server.createSession({ agent: agent(), environment_id: environment.id });
    const before = server.provider.received;
    const marker = server.play(
      bash(
        "curl -sS -m 20 -o /dev/null -w '%{http_code}' https://example.com 2>&1; curl -sS -m 20 --noproxy '*' http://1.1.1.1 2>&1",
      ),
      say("Nothing is there."),
    );
    await session.send(message(marker));
    const events = await session.rest();
    expect(saidBy(events)).toEqual(["Nothing is there."]);
    expect(textOf(only(events, "agent.tool_result")[0] ?? {})).toMatch(
      /403[\s\S]*(unreachable|Couldn't connect|Failed to connect)/i,
    );
    // Each request to the model is of the conversation: no titles, no summaries, no look-ups.
    expect(server.provider.received - before).toBe(2);
    expect(server.requests(marker)).toHaveLength(2);
    // Written beside the turn.
    const hosts = async (): Promise<string[]> => {
      const response = await server.request(`/sandbox0/v1/sessions/${session.id}/egress`);
      return ((await response.json()) as { data: { host: string }[] }).data.map(({ host }) => host);
    };
    await until(async () => (await hosts()).length > 0);
    expect(await hosts()).toEqual(["example.com"]);
  });
});
