import type { BetaManagedAgentsSession } from "@anthropic-ai/sdk/resources/beta/sessions/sessions";
import { call, hold, say, type Script, type Step } from "@sandbox0/testkit";
import { expect, test } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { filesOf, skillMd } from "./fixture/skill-files.ts";
import {
  allow,
  answer,
  deny,
  last,
  message,
  only,
  openSession,
  saidBy,
  stopReasons,
  systemMessage,
  type TestSession,
  textOf,
  typesOf,
  waitingIds,
} from "./fixture/test-session.ts";

/** Our own surface, over plain HTTP; what comes of it is driven by the official SDK. */
const server = conformanceServer();

interface Answer<T> {
  status: number;
  body: T;
}
interface Snapshot {
  id: string;
  name: string | null;
  event_id: string | null;
}

async function ask<T = { error: { type: string; message: string } }>(
  method: string,
  path: string,
  body?: object,
): Promise<Answer<T>> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body), headers: JSON_BODY };
  const response = await server.request(`/sandbox0/v1/sessions/${path}`, init);
  return { status: response.status, body: (await response.json()) as T };
}
const JSON_BODY = { "content-type": "application/json" };

async function snapshot(session: TestSession, name?: string): Promise<Snapshot> {
  const { status, body } = await ask<Snapshot>("POST", `${session.id}/snapshots`, name === undefined ? {} : { name });
  expect(status, JSON.stringify(body)).toBe(200);
  return body;
}
async function fork(session: TestSession, params: object = {}): Promise<TestSession> {
  const { status, body } = await ask<BetaManagedAgentsSession>("POST", `${session.id}/fork`, params);
  expect(status, JSON.stringify(body)).toBe(200);
  return openSession(server.client, body, (stream) => stream.close());
}
async function restore(session: TestSession, to: Snapshot): Promise<BetaManagedAgentsSession> {
  const { status, body } = await ask<BetaManagedAgentsSession>("POST", `${session.id}/restore`, { snapshot_id: to.id });
  expect(status, JSON.stringify(body)).toBe(200);
  return body;
}
async function turn(session: TestSession, ...steps: (Step | Script)[]): Promise<string> {
  const marker = server.play(...steps);
  await session.send(message(marker));
  await session.rest();
  return marker;
}
/** All that the model was shown of the conversation when it was last asked about this. */
function shown(marker: string): string {
  const asked = server.requests(marker).at(-1);
  return (asked?.messages ?? []).map(({ text }) => text).join("\n");
}

test("a fork goes on from the same conversation, and neither sees what the other does then", async () => {
  const session = await server.createSession({ title: "The first", metadata: { k: "v" }, agent: { make: { tools: [TOOLSET] } } });
  const first = await turn(session, say("The word is heron."));
  const source = await session.retrieve();
  const forked = await fork(session);
  expect(forked.created).toMatchObject({
    type: "session",
    status: "idle",
    title: "The first",
    metadata: { k: "v" },
    agent: source.agent,
    environment_id: source.environment_id,
    usage: { ...source.usage, active_seconds: expect.any(Number) },
    archived_at: null,
  });
  expect(forked.id).not.toBe(session.id);
  const copied = await forked.events();
  const thread = await forked.threadId();
  expect(thread).not.toBe(await session.threadId());
  expect(only(copied, "session.thread_status_idle").map((event) => event.session_thread_id)).toEqual([thread]);
  const withoutThreads = (events: readonly object[]) => events.map((event) => ({ ...event, session_thread_id: null }));
  expect(withoutThreads(copied)).toEqual(withoutThreads(await session.events()));

  const here = await turn(session, say("Here."));
  const there = await turn(forked, say("There."));
  expect(shown(there)).toContain(first);
  expect(shown(there)).toContain("The word is heron.");
  expect(shown(there)).not.toContain(here);
  expect(shown(here)).not.toContain(there);
  expect(saidBy(await session.events())).toEqual(["The word is heron.", "Here."]);
  expect(saidBy(await forked.events())).toEqual(["The word is heron.", "There."]);
  // The fork is the workspace's like any other session, and needs its source no longer.
  await server.client.beta.sessions.delete(session.id);
  await turn(forked, say("Alone."));
  expect(saidBy(await forked.events()).at(-1)).toBe("Alone.");
});

test("a fork from an idle event and from a snapshot begin there, with a title and metadata of their own", async () => {
  const session = await server.createSession();
  await turn(session, say("One."));
  const early = last(await session.events(), "session.status_idle");
  const kept = await snapshot(session, "after one");
  expect(kept).toEqual({
    id: expect.stringMatching(/^snap_/),
    type: "session_snapshot",
    session_id: session.id,
    name: "after one",
    event_id: early.id,
    stop_reason: { type: "end_turn" },
    created_at: expect.stringMatching(/Z$/),
  });
  await turn(session, say("Two."));
  for (const from of [{ event_id: early.id }, { snapshot_id: kept.id }]) {
    const forked = await fork(session, { ...from, title: null, metadata: { of: "fork" } });
    expect(forked.created).toMatchObject({ title: null, metadata: { of: "fork" } });
    expect(saidBy(await forked.events())).toEqual(["One."]);
    expect(last(await forked.events(), "session.usage").usage).toMatchObject({
      input_tokens: forked.created.usage.input_tokens ?? -1,
      output_tokens: forked.created.usage.output_tokens ?? -1,
    });
  }
});

test("snapshots are listed newest first, page by page, shown and deleted", async () => {
  const session = await server.createSession();
  const made = [await snapshot(session, "a"), await snapshot(session), await snapshot(session, "c")].reverse();
  expect(made.map(({ name }) => name)).toEqual(["c", null, "a"]);
  expect(made.map(({ event_id }) => event_id)).toEqual([null, null, null]);
  const page = await ask<{ data: Snapshot[]; next_page: string | null }>("GET", `${session.id}/snapshots?limit=2`);
  expect(page.body.data).toEqual(made.slice(0, 2));
  const rest = await ask<{ data: Snapshot[] }>("GET", `${session.id}/snapshots?page=${page.body.next_page}`);
  expect(rest.body).toEqual({ data: made.slice(2), next_page: null });
  const [newest] = made;
  expect((await ask<Snapshot>("GET", `${session.id}/snapshots/${newest?.id}`)).body).toEqual(newest);
  expect((await ask("DELETE", `${session.id}/snapshots/${newest?.id}`)).body).toEqual({
    id: newest?.id,
    type: "session_snapshot_deleted",
  });
  expect((await ask("GET", `${session.id}/snapshots/${newest?.id}`)).status).toBe(404);
  expect((await ask("DELETE", `${session.id}/snapshots/${newest?.id}`)).status).toBe(404);
});

test("a restore takes back what came behind the snapshot, also from who reads the log later, and it can be done again", async () => {
  const session = await server.createSession();
  await turn(session, say("One."));
  const one = await snapshot(session);
  const listed = await session.events();
  const gone = await turn(session, say("Two."));
  const two = await snapshot(session);
  const before = await session.retrieve();
  const stream = await session.stream();

  const restored = await restore(session, one);
  expect(restored).toMatchObject({ id: session.id, status: "idle", usage: before.usage });
  const events = await session.events();
  expect(events.slice(0, listed.length)).toEqual(listed);
  const rests = events.slice(listed.length);
  expect(typesOf(rests)).toEqual(["session.thread_status_idle", "session.usage", "session.status_idle"]);
  const live = await stream.until((received) => typesOf(received).includes("session.status_idle"));
  expect(live).toEqual(rests);

  const next = await turn(session, say("Another two."));
  expect(shown(next)).toContain("One.");
  expect(shown(next)).not.toContain(gone);
  expect(saidBy(await session.events())).toEqual(["One.", "Another two."]);

  // Also forward, to what was taken back.
  await restore(session, two);
  expect(saidBy(await session.events())).toEqual(["One.", "Two."]);
  const forked = await fork(session);
  expect(typesOf(await forked.events())).toEqual(typesOf(await session.events()));
  const again = await turn(forked, say("Three."));
  expect(shown(again)).toContain(gone);
  expect(shown(again)).not.toContain(next);
  for (const each of [session, forked]) {
    const timeline = await ask<{ data: { type: string }[] }>("GET", `${each.id}/timeline`);
    expect([timeline.status, timeline.body.data.length > 0]).toEqual([200, true]);
  }
});

test("what a session waits for is open again in a fork and after a restore, and is answered in each by itself", async () => {
  const lookup = { type: "custom" as const, name: "lookup", description: "asks", input_schema: { type: "object" as const } };
  const asking = { ...TOOLSET, default_config: { permission_policy: { type: "always_ask" as const } } };
  const session = await server.createSession({ agent: { make: { tools: [asking, lookup] } } });
  const marker = await turn(session, [call("lookup", {}), call("bash", { command: "echo ran" })], say("Done."));
  const waiting = waitingIds(await session.events());
  expect(waiting).toHaveLength(2);
  const [lookupId = "", bashId = ""] = waiting;
  const kept = await snapshot(session);
  await session.send(answer(lookupId, "first"), deny(bashId, "no"));
  const settled = await session.rest();
  expect(stopReasons(settled)).toEqual(["requires_action", "end_turn"]);

  const forked = await fork(session, { snapshot_id: kept.id });
  expect(waitingIds(await forked.events())).toEqual(waiting);
  await expect(forked.send(message("too soon"))).rejects.toMatchObject({ status: 400 });
  await forked.send(answer(lookupId, "second"), allow(bashId));
  const other = await forked.rest();
  expect(textOf(only(other, "agent.tool_result")[0] ?? {})).toContain("ran");
  expect(saidBy(other)).toEqual(["Done."]);

  await restore(session, kept);
  expect(waitingIds(await session.events())).toEqual(waiting);
  expect((await session.retrieve()).status).toBe("idle");
  await session.send(answer(lookupId, "third"));
  expect(waitingIds(await session.events())).toEqual([bashId]);
  await session.send(allow(bashId));
  const redone = await session.rest();
  expect(only(redone, "user.custom_tool_result").map(textOf)).toEqual(["third"]);
  expect(only(redone, "agent.tool_result").map(textOf)).toEqual([expect.stringContaining("ran")]);
  const results = server
    .requests(marker)
    .at(-1)
    ?.messages.flatMap((each) => each.results.map(({ text }) => text.trim()));
  expect(results).toEqual(expect.arrayContaining(["third", "ran"]));
});

test("an open call that is taken back is waited for no longer", async () => {
  const lookup = { type: "custom" as const, name: "lookup", description: "asks", input_schema: { type: "object" as const } };
  const session = await server.createSession({ agent: { make: { tools: [lookup] } } });
  await turn(session, say("One."));
  const kept = await snapshot(session);
  await turn(session, call("lookup", {}), say("Never."));
  const [open = ""] = waitingIds(await session.events());
  await restore(session, kept);
  expect(stopReasons(await session.events()).at(-1)).toBe("end_turn");
  await expect(session.send(answer(open, "late"))).rejects.toMatchObject({ status: 400 });
  await turn(session, say("Two."));
  expect(saidBy(await session.events())).toEqual(["One.", "Two."]);
});

test("a system message that waits for its turn goes along", async () => {
  const session = await server.createSession();
  await turn(session, say("One."));
  await session.send(systemMessage("Speak Latin."));
  const kept = await snapshot(session);
  const forks = [await fork(session), await fork(session, { snapshot_id: kept.id })];
  await turn(session, say("Two."));
  await restore(session, kept);
  for (const each of [...forks, session]) {
    expect(last(await each.events(), "system.message").processed_at).toBeNull();
    expect(shown(await turn(each, say("Duo.")))).toContain("Speak Latin.");
    expect(only(await each.events(), "system.message")).toHaveLength(1);
  }
});

test("what a restore takes back is on no stream, and comes once", async () => {
  const session = await server.createSession();
  await turn(session, say("One."));
  const stream = await session.stream();
  await session.send(systemMessage("Speak Latin."));
  await restore(session, await snapshot(session));
  await stream.until((events) => only(events, "session.status_idle").length === 1);
  expect(typesOf(stream.received)).not.toContain("system.message");
  await turn(session, say("Duo."));
  await stream.until((events) => only(events, "session.status_idle").length === 2);
  expect(only(stream.received, "system.message")).toHaveLength(1);
});

test("who may not, and when not", async () => {
  const session = await server.createSession();
  const other = await server.createSession();
  const kept = await snapshot(session);
  const gate = server.gate();
  await session.send(message(server.play([hold(gate), say("Done.")])));
  await gate.reached;
  for (const [path, body] of [
    ["snapshots", {}],
    ["fork", {}],
    ["restore", { snapshot_id: kept.id }],
  ] as const) {
    const busy = await ask("POST", `${session.id}/${path}`, body);
    expect([busy.status, busy.body.error.type]).toEqual([400, "invalid_request_error"]);
    expect(busy.body.error.message).toMatch(/while running: interrupt the session and wait until it is idle/);
  }
  // From a snapshot also while the session runs.
  expect(await (await fork(session, { snapshot_id: kept.id })).events()).toEqual([]);
  gate.open();
  const [running] = only(await session.rest(), "session.status_running");

  const refused: [string, object, number, RegExp][] = [
    [`${session.id}/fork`, { snapshot_id: "snap_none" }, 404, /Snapshot `snap_none` not found/],
    [`${other.id}/fork`, { snapshot_id: kept.id }, 404, /not found/],
    [`${other.id}/restore`, { snapshot_id: kept.id }, 404, /not found/],
    [`${session.id}/fork`, { event_id: running?.id }, 400, /event_id: .* is not a session.status_idle event/],
    [`${session.id}/fork`, { event_id: "a", snapshot_id: "b" }, 400, /event_id: cannot be used together/],
    [`${session.id}/fork`, { metadata: { "": "x" } }, 400, /metadata/],
    [`${session.id}/restore`, {}, 400, /snapshot_id/],
    [`${session.id}/snapshots`, { name: "" }, 400, /name/],
    ["sesn_none/snapshots", {}, 404, /Session `sesn_none` not found/],
    ["sesn_none/fork", {}, 404, /Session `sesn_none` not found/],
    ["sesn_none/restore", { snapshot_id: kept.id }, 404, /Session `sesn_none` not found/],
  ];
  for (const [path, body, status, text] of refused) {
    const said = await ask("POST", path, body);
    expect([path, said.status, said.body.error.message]).toEqual([path, status, expect.stringMatching(text)]);
  }
  const tenant = await server.request("/sandbox0/v1/api_keys", {
    method: "POST",
    headers: JSON_BODY,
    body: JSON.stringify({ name: "tenant", workspace: "another" }),
  });
  const { key } = (await tenant.json()) as { key: string };
  const stranger = { headers: { ...JSON_BODY, authorization: `Bearer ${key}` } };
  const theirs = `/sandbox0/v1/sessions/${session.id}`;
  for (const [method, path, body] of [
    ["POST", "snapshots", {}],
    ["GET", "snapshots", undefined],
    ["GET", `snapshots/${kept.id}`, undefined],
    ["DELETE", `snapshots/${kept.id}`, undefined],
    ["POST", "fork", { snapshot_id: kept.id }],
    ["POST", "restore", { snapshot_id: kept.id }],
  ] as const) {
    const init = { method, ...stranger, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
    expect([method, path, (await server.request(`${theirs}/${path}`, init)).status]).toEqual([method, path, 404]);
  }

  await server.client.beta.sessions.archive(session.id);
  expect((await ask("POST", `${session.id}/restore`, { snapshot_id: kept.id })).status).toBe(400);
  expect((await ask("POST", `${session.id}/snapshots`, {})).status).toBe(400);
  // What an archived session was can still be gone on from.
  expect((await fork(session, { snapshot_id: kept.id })).created).toMatchObject({ status: "idle", archived_at: null });
});

test("a fork has resources of its own", async () => {
  const { client } = server;
  const file = await client.beta.files.upload({ file: new File(["hello"], "hello.txt") });
  const store = await client.beta.memoryStores.create({ name: "notes" });
  const session = await server.createSession({
    resources: [
      { type: "file", file_id: file.id },
      { type: "github_repository", url: "https://github.com/o/r", authorization_token: "ghp_secret" },
      { type: "memory_store", memory_store_id: store.id },
    ],
  });
  const forked = await fork(session);
  await client.beta.sessions.delete(session.id);
  const resources = forked.created.resources;
  expect(resources.map(({ type }) => type)).toEqual(["file", "github_repository", "memory_store"]);
  const ids = [session, forked].flatMap(({ created }) => created.resources.flatMap((each) => ("id" in each ? [each.id] : [])));
  expect(new Set(ids).size).toBe(4);
  const [copy] = resources;
  const copies = await client.beta.files.list({ scope_id: forked.id });
  expect(copies.data.map(({ id, filename }) => [id, filename])).toEqual([[copy?.type === "file" && copy.file_id, "hello.txt"]]);
  expect((await client.beta.sessions.retrieve(forked.id)).resources).toEqual(resources);
});

test("what a session has left in its outputs is the fork's as well, and each goes on with its own", async () => {
  const { files } = server.client.beta;
  const outputsOf = async (session: TestSession) => {
    const { data } = await files.list({ scope_id: session.id });
    const texts = data.map(async ({ id, filename }) => [filename, await (await files.download(id)).text()] as const);
    return { ids: data.map(({ id }) => id), texts: await Promise.all(texts) };
  };
  const session = await server.createSession({ agent: { make: { tools: [TOOLSET] } } });
  await turn(session, call("bash", { command: "echo one > /mnt/session/outputs/report" }), say("Written."));
  const source = await outputsOf(session);
  const forked = await fork(session);
  const copied = await outputsOf(forked);
  expect(copied.texts).toEqual([["report", "one\n"]]);
  expect(copied.ids).not.toEqual(source.ids);
  await turn(forked, call("bash", { command: "echo two >> /mnt/session/outputs/report" }), say("More."));
  expect(await outputsOf(forked)).toEqual({ ids: copied.ids, texts: [["report", "one\ntwo\n"]] });
  expect(await outputsOf(session)).toEqual(source);
});

test("files are those of the idle event, or nothing is forked", async () => {
  const session = await server.createSession({ agent: { make: { tools: [TOOLSET] } } });
  const idle = async () => last(await session.events(), "session.status_idle").id;
  const write = (text: string) => turn(session, call("bash", { command: `echo ${text} > note` }), say(text));
  const read = async (of: TestSession) => {
    await turn(of, call("bash", { command: "cat note" }), say("Read."));
    return textOf(last(await of.events(), "agent.tool_result")).trim();
  };
  await write("one");
  const early = await idle();
  expect(await read(await fork(session, { event_id: early }))).toBe("one");
  await write("two");
  // What is kept is of the last rest now.
  await snapshot(session);
  const refused = await ask("POST", `${session.id}/fork`, { event_id: early });
  expect([refused.status, refused.body.error.type]).toEqual([409, "conflict_error"]);
  expect(refused.body.error.message).toContain("nothing keeps the session's files as they were");
  // Which is there also while the next turn runs.
  const late = await idle();
  const gate = server.gate();
  await session.send(message(server.play([hold(gate), say("Later.")])));
  await gate.reached;
  const meanwhile = await fork(session, { event_id: late });
  gate.open();
  expect(await read(meanwhile)).toBe("two");
});

test("many forks at once, also while the session goes on", async () => {
  const session = await server.createSession({ agent: { make: { tools: [TOOLSET] } } });
  await turn(session, call("bash", { command: "echo one > note" }), say("One."));
  const kept = await snapshot(session);
  const now = Array.from({ length: 10 }, () => fork(session));
  const forks = await Promise.all(now);
  const running = turn(session, call("bash", { command: "echo two > note" }), say("Two."));
  forks.push(...(await Promise.all(Array.from({ length: 10 }, () => fork(session, { snapshot_id: kept.id })))));
  await running;
  expect(new Set(forks.map(({ id }) => id)).size).toBe(20);
  for (const each of forks) expect(saidBy(await each.events())).toEqual(["One."]);
  for (const each of [forks.at(0), forks.at(-1)]) {
    if (each === undefined) continue;
    await turn(each, call("bash", { command: "cat note" }), say("Read."));
    expect(textOf(last(await each.events(), "agent.tool_result")).trim()).toBe("one");
  }
});

test("what a session was given is there again in its forks and after a restore, also to before it first ran", async () => {
  const { client } = server;
  const file = await client.beta.files.upload({ file: new File(["mounted"], "m.txt") });
  const skill = await client.beta.skills.create({ files: await filesOf({ "how/SKILL.md": skillMd("how") }) });
  const tools = [TOOLSET];
  const session = await server.createSession({
    agent: { make: { tools, skills: [{ type: "custom", skill_id: skill.id }] } },
    resources: [{ type: "file", file_id: file.id, mount_path: "m.txt" }],
  });
  const look = async (of: TestSession) => {
    await turn(of, call("bash", { command: "cat /uploads/m.txt; ls /mnt/skills; touch mine; ls" }), say("Seen."));
    return textOf(last(await of.events(), "agent.tool_result"))
      .split("\n")
      .filter(Boolean);
  };
  const blank = await snapshot(session);
  expect(await look(session)).toEqual(["mountedhow", "mine"]);
  const kept = await snapshot(session);
  expect(await look(await fork(session))).toEqual(["mountedhow", "mine"]);
  for (const to of [kept, blank, kept]) {
    await turn(session, call("bash", { command: "touch later" }), say("Later."));
    await restore(session, to);
    expect(await look(session)).toEqual(["mountedhow", "mine"]);
  }
});
