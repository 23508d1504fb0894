import { call, say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { message, only, saidBy, type TestSession, textOf } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

/** Memory stores in sandboxes: real ones, with the agent's own file tools. */
const server = conformanceServer();
const stores = () => server.client.beta.memoryStores;

const bash = (command: string) => call("bash", { command });
const write = (file_path: string, content: string) => call("write", { file_path, content });
type Call = ReturnType<typeof call>;
interface Attached {
  memory_store_id: string;
  access?: "read_write" | "read_only";
  instructions?: string;
}

const open = (...attached: Attached[]): Promise<TestSession> =>
  server.createSession({
    agent: { make: { tools: [TOOLSET] } },
    resources: attached.map((store) => ({ type: "memory_store" as const, ...store })),
  });

/** One turn with these calls, one after the other; gives what each answered. */
async function turn(session: TestSession, ...calls: Call[]): Promise<{ text: string; isError: boolean }[]> {
  const marker = server.play(...calls, say("Done."));
  const before = only(await session.events(), "agent.tool_result").length;
  await session.send(message(marker));
  const events = await session.rest();
  expect(saidBy(events).at(-1)).toBe("Done.");
  const results = only(events, "agent.tool_result").slice(before);
  return results.map((result) => ({ text: textOf(result), isError: result.is_error === true }));
}

async function contentsOf(storeId: string): Promise<Record<string, string | null | undefined>> {
  const contents: Record<string, string | null | undefined> = {};
  for await (const item of stores().memories.list(storeId, { view: "full" }))
    if (item.type === "memory") contents[item.path] = item.content;
  return contents;
}

verifies("memory.mounts", "what one session writes the next one reads, each change a version of the session's", async () => {
  const { id } = await stores().create({ name: "User Préférences (2)", description: "What users like" });
  const { id: other } = await stores().create({ name: "User Préférences (2)" });
  await stores().memories.create(id, { path: "/style.md", content: "terse" });
  const first = await open({ memory_store_id: id, instructions: "Look here first." }, { memory_store_id: other });
  const { resources } = await server.client.beta.sessions.retrieve(first.id);
  const paths = resources.map((resource) => ("mount_path" in resource ? resource.mount_path : null));
  expect(paths[0]).toBe("/mnt/memory/user-pr-f-rences-2-");
  expect(new Set(paths).size).toBe(2);
  const at = paths[0] ?? "";
  const results = await turn(
    first,
    call("read", { file_path: `${at}/style.md` }),
    write(`${at}/people/ann.md`, "likes tea"),
    call("edit", { file_path: `${at}/style.md`, old_string: "terse", new_string: "terse, no emoji" }),
    bash(`mkdir ${paths[1]}/d && mv ${at}/people/ann.md ${at}/ann.md && echo 1 > ${paths[1]}/d/x`),
    bash(`ls ${at}; echo x > /mnt/memory/stray || echo refused; mkdir /mnt/memory/other || echo refused`),
  );
  expect(results.map(({ isError }) => isError)).toEqual([false, false, false, false, false]);
  expect(results[0]?.text).toContain("terse");
  expect(results[4]?.text.match(/refused/g)).toHaveLength(2);
  expect(await contentsOf(id)).toEqual({ "/style.md": "terse, no emoji", "/ann.md": "likes tea" });
  expect(await contentsOf(other)).toEqual({ "/d/x": "1\n" });
  const { data } = await stores().memoryVersions.list(id, { session_id: first.id });
  expect(data.map(({ operation, path }) => `${operation} ${path}`)).toEqual([
    "modified /ann.md",
    "modified /style.md",
    "created /people/ann.md",
  ]);
  expect(data[0]?.created_by).toEqual({ type: "session_actor", session_id: first.id });

  const second = await open({ memory_store_id: id });
  const [read] = await turn(second, bash(`cat ${at}/ann.md ${at}/style.md; rm ${at}/ann.md`));
  expect(read?.text).toContain("likes teaterse, no emoji");
  const [gone] = await turn(first, bash(`cd ${at} && find . -type f`));
  expect(gone?.text.trim()).toBe("./style.md");
});

verifies("memory.mount-notes", "the prompt has each store with its path, access, description and instructions", async () => {
  const { id } = await stores().create({ name: "House Rules", description: "How we work" });
  const session = await open({ memory_store_id: id, access: "read_only", instructions: "Follow them." });
  const marker = server.play(say("Hi."));
  await session.send(message(marker));
  await session.rest();
  const system = server.requests(marker)[0]?.system ?? "";
  for (const part of ["/mnt/memory/house-rules", "House Rules", "read-only", "How we work", "Follow them."])
    expect(system).toContain(part);
  const without = server.play(say("Hi."));
  await (await server.createSession({ agent: { make: { tools: [TOOLSET] } } })).send(message(without));
  await expect.poll(() => server.requests(without).length, { timeout: 60_000 }).toBe(1);
  expect(server.requests(without)[0]?.system).not.toContain("/mnt/memory");
});

verifies(
  "memory.mount-conflict",
  "two sessions change one memory: the store's text stays, and the other agent is told",
  async () => {
    const { id } = await stores().create({ name: "Plan" });
    await stores().memories.create(id, { path: "/plan.md", content: "plan" });
    const [one, two] = [await open({ memory_store_id: id }), await open({ memory_store_id: id })];
    const gate = server.sandboxGate();
    const late = server.play(
      bash(`${gate.command}; cat /mnt/memory/plan/plan.md; echo of two > /mnt/memory/plan/plan.md`),
      say("Done."),
    );
    await two.send(message(late));
    await gate.reached();
    await turn(one, bash("echo of one > /mnt/memory/plan/plan.md"));
    await gate.open();
    const [result] = only(await two.rest(), "agent.tool_result");
    const text = textOf(result ?? {});
    expect(text).toMatch(/^plan/);
    expect(text).toMatch(/has changed the memory "\/mnt\/memory\/plan\/plan.md" since you read it/);
    const kept = /\/tmp\/tool_outputs\/\S+\.txt/.exec(text)?.[0];
    const [both, after] = await turn(
      two,
      bash(`cat ${kept} /mnt/memory/plan/plan.md`),
      write("/mnt/memory/plan/plan.md", "of both"),
    );
    expect(both?.text.trim()).toBe("of two\nof one");
    expect(after?.text).not.toContain("somebody");
    expect(await contentsOf(id)).toEqual({ "/plan.md": "of both" });
    const { data } = await stores().memoryVersions.list(id, { view: "full" });
    expect(data.map(({ content }) => content)).toEqual(["of both", "of one\n", "plan"]);
  },
);

verifies("memory.mount-read-only", "a store that is attached so cannot be written to, and follows the store", async () => {
  const { id } = await stores().create({ name: "rules" });
  const { id: memoryId } = await stores().memories.create(id, { path: "/a.md", content: "one" });
  const session = await open({ memory_store_id: id, access: "read_only" });
  const results = await turn(
    session,
    call("read", { file_path: "/mnt/memory/rules/a.md" }),
    write("/mnt/memory/rules/a.md", "changed"),
    bash("echo x > /mnt/memory/rules/b; rm -f /mnt/memory/rules/a.md; chmod 777 /mnt/memory/rules; cat /mnt/memory/rules/a.md"),
  );
  expect(results.map(({ isError }) => isError)).toEqual([false, true, false]);
  expect(results[2]?.text).toMatch(/Read-only file system/);
  expect(results[2]?.text).toMatch(/one$/);
  await stores().memories.update(memoryId, { memory_store_id: id, content: "two" });
  expect((await turn(session, bash("cat /mnt/memory/rules/a.md")))[0]?.text).toBe("two");
  expect(await contentsOf(id)).toEqual({ "/a.md": "two" });
});

verifies("memory.mount-limits", "what cannot be a memory is not stored, and the agent is told behind the call", async () => {
  const { id } = await stores().create({ name: "m" });
  const session = await open({ memory_store_id: id });
  const results = await turn(
    session,
    bash("cd /mnt/memory/m; head -c 102401 /dev/zero | tr '\\0' x > large; head -c 102400 /dev/zero | tr '\\0' x > fits"),
    bash(
      "cd /mnt/memory/m; printf '\\xff' > binary; touch .anthropic-memory-store $'bell\\a'; ln -s /etc/passwd link; mkfifo pipe",
    ),
    bash(
      "cd /mnt/memory/m; mkdir -p $(printf 'd/%.0s' {1..20}); touch $(printf 'd/%.0s' {1..20})deep; rm -r pipe link; echo text > binary",
    ),
    bash("cd /mnt/memory/m; rm large .anthropic-memory-store bell*; echo fine"),
  );
  expect(results.map(({ isError }) => isError)).toEqual([false, false, false, false]);
  expect(results[0]?.text).toMatch(/"\/mnt\/memory\/m\/large" is not saved as a memory, .* 102400 bytes/);
  for (const reason of [
    /binary" is not saved .* UTF-8/,
    /which is reserved/,
    /control characters/,
    /symbolic link/,
    /regular file/,
  ])
    expect(results[1]?.text).toMatch(reason);
  expect(results[2]?.text).toMatch(/deep" is not saved .* 20 segments/);
  expect(results[3]?.text.trim()).toBe("fine");
  expect(Object.keys(await contentsOf(id))).toEqual(["/binary", "/fits"]);
});

verifies("memory.mount-background", "what is written between calls is stored before the session is idle", async () => {
  const { id } = await stores().create({ name: "m" });
  const session = await open({ memory_store_id: id });
  const gate = server.sandboxGate();
  const marker = server.play(
    bash(`(${gate.command}; echo late > /mnt/memory/m/late; touch /workspace/written) >/dev/null 2>&1 & echo started`),
    call("grep", { pattern: "nothing", path: "/workspace" }),
    say("Done."),
  );
  await session.send(message(marker));
  await gate.open();
  await session.rest();
  await expect
    .poll(
      async () => {
        await turn(session, bash("until test -e /workspace/written; do sleep 0.02; done"));
        return contentsOf(id);
      },
      { timeout: 60_000 },
    )
    .toEqual({ "/late": "late\n" });
});
