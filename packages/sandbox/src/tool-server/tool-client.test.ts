import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { betaAgentToolset20260401 } from "@anthropic-ai/sdk/tools/agent-toolset/node";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createBubblewrapDriver } from "../bubblewrap/driver.ts";
import { descendants, signalProcess } from "../bubblewrap/process-tree.ts";
import { DEFAULT_LIMITS } from "../pool.ts";
import type { Sandbox, SandboxDriver } from "../port.ts";
import { Slots } from "../slots.ts";
import { bytesKept } from "../testing/bytes-kept.ts";
import { runCommand } from "../testing/run-command.ts";
import { defaultOwners, openVolumes, type Volumes } from "../volumes.ts";
import { OutputMeter } from "./output-meter.ts";
import { RESULT_CHARS_MAX } from "./result-text.ts";
import { SPILL_BYTES_MAX } from "./spill.ts";
import { ToolClient, type CallOptions } from "./tool-client.ts";
import { BUILT_IN_TOOLS } from "./tool-definitions.ts";

const run = promisify(execFile);
const MIB = 1024 * 1024;

let dir: string;
let driver: SandboxDriver;
let volumes: Volumes;
let sandbox: Sandbox;
let tools: ToolClient;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-tools-"));
  driver = createBubblewrapDriver({ dir });
  volumes = await openVolumes(dir, await defaultOwners());
});

afterAll(() => rm(dir, { recursive: true, force: true }));

beforeEach(async () => {
  const volume = await volumes.create();
  sandbox = await driver.create({ volume, limits: DEFAULT_LIMITS, env: {}, openEgress: null });
  tools = new ToolClient(sandbox, { meter: new OutputMeter(), starts: new Slots(4, 100) });
});

afterEach(() => sandbox.destroy());

/** Other tests may run at the same time, in processes of their own. */
function ownDescendants(pids: readonly number[]): number[] {
  const own = new Set(descendants(process.pid).map(({ pid }) => pid));
  return pids.filter((pid) => own.has(pid));
}

interface Outcome {
  text: string;
  isError: boolean;
}

async function call(name: string, input: unknown, options?: CallOptions): Promise<Outcome> {
  const { content, isError } = await tools.call(name, input, options);
  const [block] = content;
  if (content.length !== 1 || block?.type !== "text") throw new Error(`not one text block: ${JSON.stringify(content)}`);
  return { text: block.text, isError };
}

const bash = (command: string, options?: CallOptions): Promise<Outcome> => call("bash", { command }, options);
const ok = (text: string): Outcome => ({ text, isError: false });
const error = (text: string): Outcome => ({ text, isError: true });

/** Starts a command that does not end, and resolves when it runs. */
async function startEndless(script: string, options?: CallOptions): Promise<{ running: Promise<Outcome> }> {
  await bash("mkfifo /tmp/started");
  const running = bash(`echo started > /tmp/started; ${script}`, options);
  const { stdout } = await runCommand(sandbox, "cat /tmp/started");
  expect(stdout).toBe("started\n");
  return { running };
}

test("the definitions are the SDK's own, word for word", () => {
  const own = betaAgentToolset20260401({ workdir: "/workspace" }).map((tool) => ({
    name: tool.name,
    description: "description" in tool ? tool.description : undefined,
    inputSchema: "input_schema" in tool ? tool.input_schema : undefined,
  }));
  expect(BUILT_IN_TOOLS).toEqual(own);
});

describe("bash", () => {
  test("keeps its directory, variables and background commands from call to call", async () => {
    expect(await bash("cd /tmp; export A=1; b=2; sleep 1000 &")).toEqual(ok("(no output)"));
    expect(await bash("pwd; echo $A $b; jobs -p | wc -l")).toEqual(ok("/tmp\n1 2\n1"));
  });

  test("starts afresh after restart, alone or with a command", async () => {
    await bash("A=1; cd /tmp");
    expect(await call("bash", { restart: true })).toEqual(ok("bash session restarted"));
    expect(await bash("echo $A; pwd")).toEqual(ok("\n/workspace"));
    await bash("A=2");
    expect(await call("bash", { restart: true, command: "echo [$A]" })).toEqual(ok("[]"));
  });

  test("gives back what a failed command printed, or its status", async () => {
    expect(await bash("echo out; echo err >&2; false")).toEqual(error("out\nerr"));
    expect(await bash("exit_with() { return 7; }; exit_with")).toEqual(error("exit 7"));
  });

  test("reports a syntax error at once and goes on with the same shell", async () => {
    await bash("A=kept");
    for (const command of ['echo "open', "if true", "}", "echo $(", "cat <<EOF\nno end"]) {
      const { text } = await bash(command, { timeoutMs: 20_000 });
      expect(text, command).not.toMatch(/timed out|terminated/);
    }
    expect(await bash("echo $A")).toEqual(ok("kept"));
  });

  test("survives its own end: the call fails, the next one has a new shell", async () => {
    expect(await bash("echo bye; exit 0")).toEqual(error("bash: bash session terminated\nbye"));
    expect(await bash("echo back")).toEqual(ok("back"));
  });

  test("runs calls one after the other, in order", async () => {
    const outcomes = await Promise.all(Array.from({ length: 8 }, (_, i) => bash(`echo ${i} >> log; cat log | tr -d '\\n'`)));
    expect(outcomes.map(({ text }) => text)).toEqual(["0", "01", "012", "0123", "01234", "012345", "0123456", "01234567"]);
  });

  test("ends at its time limit with everything it started, and says so", async () => {
    const running = call("bash", { command: "(setsid sleep 1000 &); echo begun; sleep 1000", timeout_ms: 300 });
    expect(await running).toEqual(error("bash: bash command timed out after 300ms"));
    expect(await bash("echo fine; ps -e | grep -c sleep")).toEqual(error("fine\n0"));
  });

  test("takes no time limit and 0 for the default", async () => {
    expect(await call("bash", { command: "echo a", timeout_ms: 0 })).toEqual(ok("a"));
    expect(await call("bash", { command: "echo a", timeout_ms: null })).toEqual(ok("a"));
  });

  test("stops at once when the call is aborted, descendants in sessions of their own included", async () => {
    const abort = new AbortController();
    const { running } = await startEndless(
      "(setsid bash -c 'while :; do date >> /workspace/beat; sleep 0.01; done' &); sleep 1000",
      {
        signal: abort.signal,
      },
    );
    await expect.poll(async () => (await runCommand(sandbox, "wc -c < beat")).stdout, { timeout: 60_000 }).toMatch(/^[1-9]/);
    abort.abort();
    expect(await running).toEqual(error("bash: This operation was aborted"));
    await bash("true");
    const { stdout } = await runCommand(sandbox, "cp beat before; sleep 0.5; cmp beat before && echo still");
    expect(stdout).toBe("still\n");
  });

  test("does not begin a call that is aborted while it waits for its turn", async () => {
    const abort = new AbortController();
    const { running: first } = await startEndless("read < /tmp/started");
    const second = bash("touch second", { signal: abort.signal });
    const third = bash("ls");
    abort.abort();
    expect(await second).toEqual(error("bash: This operation was aborted"));
    await runCommand(sandbox, "echo go > /tmp/started");
    expect((await first).isError).toBe(false);
    expect(await third).toEqual(ok("(no output)"));
  });

  test("gives the output of background commands to nobody once their call is over", async () => {
    await bash("mkfifo /tmp/go; (read < /tmp/go; echo late; head -c 2000000 /dev/zero | tr '\\0' x; echo done > /tmp/went) &");
    await runCommand(sandbox, "echo > /tmp/go; while [ ! -e /tmp/went ]; do sleep 0.05; done");
    expect(await bash("echo mine")).toEqual(ok("mine"));
  });
});

describe("bash, beside the SDK's own tool", () => {
  const SCRIPTS = [
    "echo hello",
    "true",
    "false",
    "printf 'no newline'",
    "printf '\\n\\nleading and trailing\\n\\n\\n'",
    "echo out; echo err >&2",
    "echo failed; exit_code() { return 3; }; exit_code",
    "printf '\\033[31mred\\033[0m plain'",
    "cat",
    'read line; echo "got [$line]"',
    "for i in 1 2 3; do echo $i; done",
    "cat <<'EOF'\nhere $HOME\nEOF",
    "echo 'single' \"double\" $'dollar\\n'",
    "echo a; # comment",
    "ls /nonexistent-directory",
    "nonexistent-command",
    "echo $((6 * 7)); [[ abc == a* ]] && echo matched",
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is bash that expands it
    "x=1; y=$x$x; echo ${y/1/2}",
    "set -o pipefail; false | true",
    "printf 'ümläut €\\n'",
    "seq 1 3000",
    "(exit 5)",
    "cd /tmp && pwd",
    "f() { echo in function \"$@\"; }; f a 'b c'",
  ];

  test("gives the same texts", { timeout: 240_000 }, async () => {
    const workdir = await mkdtemp(join(dir, "sdk-"));
    const sdk = betaAgentToolset20260401({ workdir, env: { PATH: "/usr/bin:/bin", LANG: "C.UTF-8", HOME: workdir } });
    const tool = sdk.find(({ name }) => name === "bash");
    if (tool === undefined) throw new Error("the SDK has no bash tool");
    for (const command of SCRIPTS) {
      const own = await bash(command);
      const theirs = await Promise.resolve(tool.run({ command })).then(
        (text) => ok(String(text) === "" ? "(no output)" : String(text)),
        (thrown: Error) => error(thrown.message),
      );
      // Where in its own input the shell read the line is not the command's.
      const withoutLines = ({ text, isError }: Outcome): Outcome => ({ text: text.replaceAll(/line \d+/g, "line N"), isError });
      expect(withoutLines(own), command).toEqual(withoutLines(theirs));
    }
    await tool.close?.();
  });
});

describe("file tools", () => {
  test("write, read, edit, glob and grep as the SDK does", async () => {
    expect(await call("write", { file_path: "a/b.txt", content: "one\ntwo\nthree\n" })).toEqual(ok("wrote 14 bytes to a/b.txt"));
    expect(await call("read", { file_path: "a/b.txt", view_range: [2, 3] })).toEqual(ok("two\nthree"));
    expect(await call("edit", { file_path: "/workspace/a/b.txt", old_string: "two", new_string: "2" })).toEqual(
      ok("edited /workspace/a/b.txt (1 replacement(s))"),
    );
    expect(await call("edit", { file_path: "a/b.txt", old_string: "nothing", new_string: "" })).toEqual(
      error("edit: old_string not found in a/b.txt"),
    );
    expect(await call("glob", { pattern: "**/*.txt" })).toEqual(ok("/workspace/a/b.txt"));
    expect((await call("grep", { pattern: "^t.*e" })).text).toMatch(/^\/workspace\/a\/b\.txt:3:three\n?$/);
    expect(await call("grep", { pattern: "nowhere" })).toEqual(ok("no matches"));
    expect(await call("write", { file_path: "empty", content: "" })).toEqual(ok("wrote 0 bytes to empty"));
    expect(await call("read", { file_path: "empty" })).toEqual(ok("(no output)"));
  });

  test("see what bash sees, in all the session's directories", async () => {
    for (const path of ["/workspace/f", "/tmp/f", "/home/agent/f", "/mnt/session/outputs/f"]) {
      expect(await bash(`echo from bash > ${path}`)).toEqual(ok("(no output)"));
      expect(await call("read", { file_path: path })).toEqual(ok("from bash\n"));
      expect((await call("write", { file_path: path, content: "from write" })).isError).toBe(false);
      expect(await bash(`cat ${path}`)).toEqual(ok("from write"));
    }
  });

  test("stay within them, links included", async () => {
    await bash("ln -s /etc/passwd link; ln -s / root");
    for (const path of ["/etc/passwd", "link", "root/etc/passwd", "../etc/passwd", "/proc/self/environ"]) {
      const { text, isError } = await call("read", { file_path: path });
      expect(isError, text).toBe(true);
      expect(text).toMatch(/outside the session's working directory/);
    }
    for (const dir of ["/mnt/session/uploads", "/mnt/skills"])
      expect((await call("write", { file_path: `${dir}/new`, content: "x" })).text).toMatch(/read-only directory/);
  });

  const SLOW_LINE = `${"a".repeat(40)}!`;
  /** Takes hours on the slow line. */
  const SLOW_PATTERN = "(a+)+$";

  test("can be aborted while they search, and go on working", async () => {
    await call("write", { file_path: "slow", content: SLOW_LINE });
    const abort = new AbortController();
    const search = call("grep", { pattern: SLOW_PATTERN }, { signal: abort.signal });
    // Answered by the same server while the search goes on.
    expect(await call("read", { file_path: "slow" })).toEqual(ok(SLOW_LINE));
    abort.abort();
    expect(await search).toEqual(error("grep: This operation was aborted"));
    expect(await call("read", { file_path: "slow" })).toEqual(ok(SLOW_LINE));
  });

  test("end at the time limit of the call", async () => {
    await call("write", { file_path: "slow", content: SLOW_LINE });
    expect(await call("grep", { pattern: SLOW_PATTERN }, { timeoutMs: 200 })).toEqual(error("grep: timed out after 200ms"));
  });

  test("end with an error when their server dies, and the next call has a new one", async () => {
    await call("write", { file_path: "slow", content: SLOW_LINE });
    const search = call("grep", { pattern: SLOW_PATTERN });
    await call("read", { file_path: "slow" });
    const { stdout } = await run("pgrep", ["-f", "tool-server.cjs --workdir"]);
    for (const pid of ownDescendants(stdout.trim().split("\n").map(Number))) signalProcess(pid, "SIGKILL");
    expect(await search).toEqual(error("grep: the tool server ended"));
    expect(await call("read", { file_path: "slow" })).toEqual(ok(SLOW_LINE));
  });
});

describe("input", () => {
  test("that does not fit the tool is an error result", async () => {
    expect(await call("nope", {})).toEqual(error("unknown tool: nope"));
    for (const input of [null, "text", 1, [], undefined])
      expect(await call("bash", input)).toEqual(error("bash: the input must be an object"));
    expect(await call("bash", {})).toEqual(error("bash: command is required"));
    expect(await call("bash", { command: 5 })).toEqual(error("bash: command must be of type string"));
    expect(await call("bash", { command: "a\0b" })).toEqual(error("bash: command has a NUL character"));
    expect(await call("read", { file_path: "a", view_range: ["1"] })).toEqual(
      error("read: view_range must be of type array of integer"),
    );
    expect(await call("write", { file_path: "a" })).toEqual(error("write: content is required"));
    expect(await call("read", { file_path: "a\0b" })).toMatchObject({ isError: true });
  });

  test("may be large", async () => {
    const content = "x".repeat(8 * MIB);
    expect(await call("write", { file_path: "large", content })).toEqual(ok(`wrote ${content.length} bytes to large`));
    expect(await bash(`: ${content.slice(0, MIB)}; wc -c < large`)).toEqual(ok(String(content.length)));
  });
});

describe("long results", () => {
  test("go to a file in full, and the model gets a preview with its path", async () => {
    const { text, isError } = await bash("seq 1 200000", { callId: "toolu_seq" });
    expect(isError).toBe(false);
    expect(text.length).toBeLessThan(RESULT_CHARS_MAX);
    expect(text).toMatch(/^1\n2\n3\n/);
    expect(text).toMatch(/\n199999\n200000$/);
    expect(text).toContain(
      "[output truncated: 1288895 bytes in all. The full output was saved to /tmp/tool_outputs/toolu_seq.txt.]",
    );
    expect(await bash("seq 1 200000 | cmp - /tmp/tool_outputs/toolu_seq.txt && echo same")).toEqual(ok("same"));
    expect((await call("read", { file_path: "/tmp/tool_outputs/toolu_seq.txt", view_range: [1, 2] })).text).toBe("1\n2");
  });

  test("stay as they are up to the limit, to the character", async () => {
    expect(await bash(`head -c ${RESULT_CHARS_MAX} /dev/zero | tr '\\0' x`)).toEqual(ok("x".repeat(RESULT_CHARS_MAX)));
    expect((await bash(`head -c ${RESULT_CHARS_MAX + 1} /dev/zero | tr '\\0' x`)).text).toContain("[output truncated");
    const wide = await bash(`for i in $(seq ${RESULT_CHARS_MAX}); do printf €; done`);
    expect(wide.text.length).toBe(RESULT_CHARS_MAX);
  });

  test("of file tools and of failed commands go the same way", async () => {
    await bash("seq 1 20000 > numbers");
    const read = await call("read", { file_path: "numbers" }, { callId: "toolu_read" });
    expect(read.text).toContain("/tmp/tool_outputs/toolu_read.txt");
    expect(await bash("cmp numbers /tmp/tool_outputs/toolu_read.txt && echo same")).toEqual(ok("same"));
    const failed = await bash("seq 1 200000; false");
    expect(failed.isError).toBe(true);
    expect(failed.text).toContain("[output truncated");
  });

  test("a gigabyte of output takes no memory, and is kept up to the bound", { timeout: 240_000 }, async () => {
    await bash("true");
    const before = bytesKept();
    let peak = before;
    const watch = setInterval(() => {
      peak = Math.max(peak, bytesKept());
    }, 200);
    const { text, isError } = await bash("head -c 1000000000 /dev/zero | tr '\\0' 'y'; echo; echo end", { callId: "gigabyte" });
    clearInterval(watch);
    expect(isError).toBe(false);
    expect(text).toMatch(/end$/);
    expect(text).toContain("1000000005 bytes in all. The start of it was saved to /tmp/tool_outputs/gigabyte.txt");
    expect(await bash("stat -c %s /tmp/tool_outputs/gigabyte.txt")).toEqual(ok(String(SPILL_BYTES_MAX)));
    expect(peak - before).toBeLessThan(200 * MIB);
  });

  test("hostile output is cleaned in linear time", async () => {
    // The SDK's /\n+$/ takes 16 seconds for the first of these, on the server's one thread.
    expect((await bash("head -c 99990 /dev/zero | tr '\\0' '\\n'; printf x")).text.length).toBe(99_991);
    expect((await bash("printf '\\033['; head -c 99990 /dev/zero | tr '\\0' 0")).isError).toBe(false);
  });
});
