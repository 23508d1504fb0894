import { call, say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { message, only, saidBy, textOf, type TestSession } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

const bash = (command: string) => call("bash", { command });
type Call = ReturnType<typeof call>;

/** Plays the calls one after the other in one turn; gives what each answered. */
async function answersIn(session: TestSession, ...calls: Call[]): Promise<{ text: string; isError: boolean }[]> {
  const marker = server.play(...calls, say("Done."));
  const before = only(await session.events(), "agent.tool_result").length;
  await session.send(message(marker));
  const events = await session.rest();
  expect(saidBy(events).at(-1)).toBe("Done.");
  const results = only(events, "agent.tool_result").slice(before);
  const given = server
    .requests(marker)
    .at(-1)
    ?.messages.flatMap(({ results: all }) => all)
    .slice(-calls.length);
  // The model is told what the log shows.
  expect(given?.map(({ text, isError }) => ({ text, isError }))).toEqual(
    results.map((result) => ({ text: textOf(result), isError: result.is_error === true })),
  );
  return results.map((result) => ({ text: textOf(result), isError: result.is_error === true }));
}
const open = () => server.createSession({ agent: { make: { tools: [TOOLSET] } } });
async function answers(...calls: Call[]): Promise<{ text: string; isError: boolean }[]> {
  return answersIn(await open(), ...calls);
}

verifies("tools.shell", "one shell: directories and variables stay, a restart wipes them", async () => {
  const results = await answers(
    bash("pwd; cd /tmp; export COLOUR=blue; helper() { echo helped; }"),
    bash("pwd; echo $COLOUR; helper"),
    call("bash", { restart: true }),
    bash("pwd; echo [$COLOUR]"),
    call("bash", { restart: true, command: "echo both" }),
  );
  const [first, second, , fourth, fifth] = results.map(({ text }) => text.trim());
  expect(first).toBe("/workspace");
  expect(second).toBe("/tmp\nblue\nhelped");
  expect(fourth).toBe("/workspace\n[]");
  expect(fifth).toContain("both");
});

verifies("tools.files", "six tools, one file system", async () => {
  const results = await answers(
    call("write", { file_path: "/workspace/notes/a.txt", content: "one\ntwo\nthree\n" }),
    call("read", { file_path: "notes/a.txt", view_range: [2, 3] }),
    call("edit", { file_path: "/workspace/notes/a.txt", old_string: "two", new_string: "zwei" }),
    bash("cat notes/a.txt; echo more > notes/b.md"),
    call("glob", { pattern: "**/*.md" }),
    call("grep", { pattern: "zw.i" }),
    call("edit", { file_path: "/workspace/notes/a.txt", old_string: "absent", new_string: "x" }),
    call("read", { file_path: "/workspace/nowhere.txt" }),
  );
  expect(results.map(({ isError }) => isError)).toEqual([false, false, false, false, false, false, true, true]);
  const texts = results.map(({ text }) => text);
  expect(texts[0]).toMatch(/wrote 14 bytes to /);
  expect(texts[1]).toMatch(/two\n.*three/s);
  expect(texts[1]).not.toContain("one");
  expect(texts[2]).toMatch(/^edited .*\(1 replacement/);
  expect(texts[3]).toContain("one\nzwei\nthree");
  expect(texts[4]).toContain("notes/b.md");
  expect(texts[5]).toContain("a.txt");
});

verifies("tools.failure", "a failing command is an error with its output, and the shell lives on", async () => {
  const [failed, syntax, silent, next] = await answers(
    bash("echo partly; exit_code() { return 3; }; exit_code"),
    bash("if then"),
    bash("false"),
    bash("echo alive"),
  );
  expect(failed).toMatchObject({ isError: true, text: expect.stringContaining("partly") });
  expect(syntax).toMatchObject({ isError: true, text: expect.stringMatching(/syntax error/) });
  expect(silent).toMatchObject({ isError: true, text: "exit 1" });
  expect(next).toMatchObject({ isError: false, text: expect.stringContaining("alive") });
});

verifies("tools.silent", "no output is said in words", async () => {
  expect(await answers(bash("true"))).toEqual([{ text: "(no output)", isError: false }]);
});

verifies("tools.spill", "long output goes to a file whose path the model gets", async () => {
  const session = await open();
  const [long] = await answersIn(session, bash("seq 1 40000"));
  expect(long?.isError).toBe(false);
  expect(long?.text.length).toBeLessThanOrEqual(100_000);
  const path = /\/\S+\w/.exec(long?.text.split("\n").find((line) => line.includes("/")) ?? "")?.[0] ?? "";
  expect(path).toMatch(/^\//);
  const [count, tail] = await answersIn(session, bash(`wc -c < ${path}`), bash(`tail -n 1 ${path}`));
  expect(Number(count?.text)).toBeGreaterThan(200_000);
  expect(tail?.text.trim()).toBe("40000");
  const [short] = await answersIn(session, bash("seq 1 10000"));
  expect(short?.text.trim().split("\n")).toHaveLength(10_000);
});

verifies(["tools.isolation", "tools.volume"], "files are the session's own, and stay between turns", async () => {
  const [one, two] = [await open(), await open()];
  await answersIn(one, bash("echo secret > mine.txt; echo also > /mnt/session/outputs/out.txt; echo home > ~/dot"));
  const [other] = await answersIn(two, bash("ls -A /workspace /mnt/session/outputs ~; cat mine.txt"));
  expect(other).toMatchObject({ isError: true });
  expect(other?.text).not.toMatch(/secret|out\.txt|^dot$/m);
  const [again] = await answersIn(one, bash("cat mine.txt /mnt/session/outputs/out.txt"));
  expect(again).toMatchObject({ isError: false, text: expect.stringMatching(/secret\nalso/) });
});

verifies("tools.offered", "the model is offered the enabled tools, and no other", async () => {
  const offered = async (tools: object[]) => {
    const marker = server.play(say("Hi."));
    const session = await server.createSession({ agent: { make: { tools: tools as never } } });
    await session.send(message(marker));
    await session.rest();
    return [...(server.requests(marker)[0]?.toolNames ?? [])].sort();
  };
  const lookup = { type: "custom", name: "lookup", description: "d", input_schema: { type: "object" } };
  const all = ["bash", "edit", "glob", "grep", "read", "web_fetch", "web_search", "write"];
  expect(await offered([TOOLSET])).toEqual(all);
  const off = { ...TOOLSET, default_config: { enabled: false } };
  expect(await offered([{ ...off, configs: [{ name: "read", enabled: true }] }, lookup])).toEqual(["lookup", "read"]);
  expect(await offered([off])).toEqual([]);
  expect(await offered([])).toEqual([]);
});

verifies("tools.no-network", "nothing outside can be reached", async () => {
  const [reach, devices] = await answers(
    bash(`timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/${new URL(server.url).port}' && echo open || echo shut`),
    bash("ls /sys/class/net 2>/dev/null || cut -d: -f1 /proc/net/dev | tail -n +3"),
  );
  expect(reach?.text).toContain("shut");
  expect((devices?.text ?? "").trim().split(/\s+/)).toEqual(["lo"]);
});

verifies(["tools.flood", "tools.parallel"], "a tool that floods its output: a bounded result, and others go on", async () => {
  const flood = await open();
  const marker = server.play(bash("head -c 200000000 /dev/zero | tr '\\0' x"), say("That was a lot."));
  await flood.send(message(marker));
  const [other] = await answers(bash("echo unharmed"));
  expect(other?.text).toContain("unharmed");
  const events = await flood.rest();
  expect(saidBy(events)).toEqual(["That was a lot."]);
  const [result] = only(events, "agent.tool_result");
  expect(textOf(result ?? {}).length).toBeLessThanOrEqual(100_000);
  expect(process.memoryUsage().rss).toBeLessThan(1_000_000_000);
});
