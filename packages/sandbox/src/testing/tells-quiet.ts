import { strict as assert } from "node:assert";
import type { Sandbox } from "../port.ts";
import { readLine } from "./run-command.ts";

/** Rejects when the sandbox does not know whether something runs in the background. */
export async function tellsQuiet(sandbox: Sandbox): Promise<void> {
  assert.equal(await sandbox.isQuiet(), true, "with nothing");
  const shell = await sandbox.exec(["/bin/bash", "--norc"]);
  const say = async (command: string): Promise<void> => {
    shell.stdin.write(`${command}\necho ready\n`);
    assert.equal(await readLine(shell.stdout), "ready\n");
  };
  await say(":");
  assert.equal(await sandbox.isQuiet(), true, "with a shell that waits");
  await say("(until [ -e go ]; do sleep 0.05; done) > /dev/null 2>&1 &");
  await sandbox.pause();
  assert.equal(await sandbox.isQuiet(), false, "with a loop in the background");
  await sandbox.resume();
  await say("touch go; wait");
  assert.equal(await sandbox.isQuiet(), true, "when the loop has ended");
  shell.kill("SIGKILL");
}
