import type { BetaManagedAgentsSession } from "@anthropic-ai/sdk/resources/beta/sessions/sessions";
import { asOffered, call, say } from "@sandbox0/testkit";
import { describe, expect, test } from "vitest";
import { conformanceServer, TOOLSET } from "../conformance/fixture/conformance-server.ts";
import { message, only, openSession, saidBy, type TestSession, textOf } from "../conformance/fixture/test-session.ts";
import { VENDOR_HARNESSES } from "./vendor-harnesses.ts";

const server = conformanceServer();
const HARNESSES = [{ name: "sandpi", model: "claude-sonnet-5-5" }, ...VENDOR_HARNESSES];

async function post<T>(session: TestSession, operation: string, body: object = {}): Promise<T> {
  const response = await server.request(`/sandbox0/v1/sessions/${session.id}/${operation}`, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json" },
  });
  const answer = (await response.json()) as T;
  expect(response.status, JSON.stringify(answer)).toBe(200);
  return answer;
}
async function fork(session: TestSession, params: object = {}): Promise<TestSession> {
  return openSession(server.client, await post<BetaManagedAgentsSession>(session, "fork", params), (stream) => stream.close());
}

/** One turn with a command in the sandbox: what it printed, and what the model was shown of the conversation. */
async function run(session: TestSession, command: string, reply: string): Promise<{ printed: string; shown: string }> {
  const marker = server.play(
    asOffered(() => call("bash", { command })),
    say(reply),
  );
  await session.send(message(marker));
  const events = await session.rest();
  expect(saidBy(events).at(-1)).toBe(reply);
  const asked = server.requests(marker).at(-1);
  const shown = (asked?.messages ?? []).map(({ text }) => text).join("\n");
  return { printed: textOf(only(events, "agent.tool_result").at(-1) ?? {}).trim(), shown };
}

describe.each(HARNESSES)("on $name", ({ name, model }) => {
  const agent = { make: { model, metadata: { "sandbox0.harness": name }, tools: [TOOLSET] } };

  test("a fork remembers the turns before it and has their files, and then each goes its own way", async () => {
    const session = await server.createSession({ agent });
    await run(session, "echo one > note; mkdir -p deep/er; ln -s ../note deep/link; echo home > ~/kept", "The word is heron.");
    const forked = await fork(session);
    expect(saidBy(await forked.events())).toEqual(["The word is heron."]);

    const there = await run(forked, "cat note deep/link ~/kept; echo fork >> note; touch only-fork", "Forked.");
    expect(there.printed).toBe("one\none\nhome");
    expect(there.shown).toContain("The word is heron.");
    const here = await run(session, "cat note; echo source >> note; ls", "Source.");
    expect(here.printed).toBe("one\ndeep\nnote");
    expect(here.shown).not.toContain("Forked.");
    expect((await run(forked, "cat note; ls", "Still.")).printed).toBe("one\nfork\ndeep\nnote\nonly-fork");

    // A fork of a fork, whose source is gone.
    const second = await fork(forked);
    await server.client.beta.sessions.delete(session.id);
    await server.client.beta.sessions.delete(forked.id);
    const last = await run(second, "cat note", "The end.");
    expect(last.printed).toBe("one\nfork");
    expect(last.shown).toContain("The word is heron.");
  });

  test("a restore brings back the files and the conversation, back and forth", async () => {
    const session = await server.createSession({ agent });
    await run(session, "echo one > note", "One.");
    const one = await post<{ id: string }>(session, "snapshots");
    await run(session, "echo two > note; touch extra", "Two.");
    const two = await post<{ id: string }>(session, "snapshots");
    await post(session, "restore", { snapshot_id: one.id });
    const back = await run(session, "cat note; ls; echo three > note", "Three.");
    expect(back.printed).toBe("one\nnote");
    expect(back.shown).toContain("One.");
    expect(back.shown).not.toContain("Two.");
    await post(session, "restore", { snapshot_id: two.id });
    const forth = await run(session, "cat note; ls", "Four.");
    expect(forth.printed).toBe("two\nextra\nnote");
    expect(forth.shown).toContain("Two.");
    expect(forth.shown).not.toContain("Three.");
    expect(saidBy(await session.events())).toEqual(["One.", "Two.", "Four."]);
  });
});
