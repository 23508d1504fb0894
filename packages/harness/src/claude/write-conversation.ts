import { text } from "node:stream/consumers";
import type { HarnessSandbox } from "../port.ts";

/** Where the agent works; also names the directory of the transcript. */
export const WORKING_DIR = "/workspace";
/** The programs' own files: only a copy of what the log has, so they may go with the sandbox. */
const PROGRAMS_DIR = "/tmp/.claude";

/** Writes its stdin as the transcript of a program; the files of the thread's earlier programs go. */
const SCRIPT = `set -e
umask 077
for old in "$1"/*; do
  if [ -e "$old" ] && [ "$old" != "$1/$2" ]; then rm -rf -- "$old"; fi
done
mkdir -p -- "$1/$2/projects/$3"
exec cat > "$1/$2/projects/$3/$2.jsonl"`;

/** Of one program. @param threadId several threads of a session share a sandbox */
export function programDir(threadId: string, sessionId: string): string {
  return `${threadDir(threadId)}/${sessionId}`;
}

/** @param sessionId the program's own. @throws SandboxError; Error with what the sandbox said */
export async function writeConversation(
  sandbox: Pick<HarnessSandbox, "exec">,
  { threadId, sessionId }: { threadId: string; sessionId: string },
  transcript: string,
): Promise<void> {
  const place = [threadDir(threadId), sessionId, WORKING_DIR.replaceAll("/", "-")];
  const child = await sandbox.exec(["/bin/bash", "--norc", "-c", SCRIPT, "claude", ...place], { network: false });
  child.stdin.end(transcript);
  child.stdout.resume();
  const [complaint, { code, signal }] = await Promise.all([text(child.stderr), child.exited]);
  if (code !== 0) throw new Error(`its conversation could not be written (${signal ?? code}): ${complaint.trim()}`);
}

function threadDir(threadId: string): string {
  return `${PROGRAMS_DIR}/${threadId.replace(/[^A-Za-z0-9_-]/g, "_")}`;
}
