import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startCommandLine } from "./command-line.fixture.ts";
import { main } from "./main.ts";

let dir: string;
const scripts: Record<string, string> = {};
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "sandbox0-completion-"));
  for (const shell of ["bash", "zsh", "fish"]) {
    const { code, stdout } = await startCommandLine(["completion", shell]).ended;
    expect(code).toBe(0);
    scripts[shell] = join(dir, shell);
    writeFileSync(scripts[shell], stdout);
  }
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** What `sandbox0` prints, without a process for each of many. */
async function print(...argv: string[]): Promise<string> {
  const stdout = new PassThrough({ encoding: "utf8" });
  expect(await main(argv, { stdout, stderr: stdout })).toBe(0);
  return String(stdout.read());
}

describe("bash", () => {
  /** What is offered for the last word. */
  function complete(...words: string[]): string[] {
    const program = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sandbox0; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const argv = ["--norc", "--noprofile", "-c", program, "bash", scripts.bash ?? "", "sandbox0", ...words];
    return execFileSync("bash", argv, { encoding: "utf8", cwd: dir })
      .split("\n")
      .filter((word) => word !== "");
  }

  test("offers commands, their second words, their options and what these take", () => {
    expect(complete("se")).toEqual(["serve", "sessions"]);
    expect(complete("sessions", "sn")).toEqual(["snapshot", "snapshots"]);
    expect(complete("sessions", "list", "--st")).toEqual(["--status"]);
    expect(complete("sessions", "list", "--status", "r")).toEqual(["running", "rescheduling"]);
    expect(complete("sessions", "list", "--limit", "")).toEqual([]);
    expect(complete("completion", "")).toEqual(expect.arrayContaining(["bash", "zsh", "fish"]));
    expect(complete("agents", "apply", "-f", "ba")).toEqual(["bash"]);
    expect(complete("agents", "apply", "--file", "ba")).toEqual(["bash"]);
    expect(complete("chat", "--a")).toEqual(["--agent", "--api-key"]);
  });

  test("knows every command that help knows, and every option", async () => {
    const help = await print("--help");
    const commands = [...help.matchAll(/^ {2}(\w+(?: [\w-]+)?) {2,}\S/gm)].map(([, name]) => name?.split(" ") ?? []);
    expect(commands.length).toBeGreaterThan(15);
    for (const words of commands) {
      const own = await print(...words, "--help");
      const options = [...own.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, name]) => name);
      expect(complete(...words, "--"), words.join(" ")).toEqual(options);
    }
  });
});

const isInstalled = (shell: string): boolean => spawnSync(shell, ["--version"]).status === 0;
for (const shell of ["zsh", "fish"]) {
  test.skipIf(!isInstalled(shell))(`${shell} takes its script`, () => {
    const { status, stderr } = spawnSync(shell, ["-n", scripts[shell] ?? ""], { encoding: "utf8" });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  });
}
