import { posix } from "node:path";
import { HOME_DIR, OUTPUTS_DIR, SKILLS_DIR, TEMP_DIR, UPLOADS_DIR, WORKSPACE_DIR } from "./layout.ts";
import { SandboxError, type FileEntry, type Sandbox } from "./port.ts";

/** A larger file does not fit the port's `readFile`, which holds it in memory. */
export const READ_FILE_BYTES_MAX = 64 * 1024 * 1024;
const ENTRIES_BYTES_MAX = 16 * 1024 * 1024;
const MESSAGE_BYTES_MAX = 4096;

const ROOTS = [WORKSPACE_DIR, HOME_DIR, OUTPUTS_DIR, UPLOADS_DIR, SKILLS_DIR, TEMP_DIR];
const STATUS_NOT_FOUND = 40;
const STATUS_REFUSED = 41;

/**
 * Every script starts like this: `$t` is the target with all links resolved, inside the sandbox, and lies in one of the
 * session's own directories, which follow it as arguments. A link that is swapped afterwards leads to nothing but what
 * the sandbox sees anyway.
 */
const RESOLVE = `
t=$(realpath -m -- "$1") || exit ${STATUS_REFUSED}
shift
inside=
for root; do
  case $t/ in "$(realpath -m -- "$root")"/*) inside=1;; esac
done
[ -n "$inside" ] || exit ${STATUS_REFUSED}
`;
const READ = `${RESOLVE}[ -e "$t" ] || exit ${STATUS_NOT_FOUND}\nexec cat -- "$t"`;
const WRITE = `${RESOLVE}mkdir -p -- "$(dirname -- "$t")" && exec cat >"$t"`;
const LIST = `${RESOLVE}[ -d "$t" ] || exit ${STATUS_NOT_FOUND}
exec find "$t" -mindepth 1 -maxdepth 1 -printf '%y\\t%s\\t%T@\\t%f\\0'`;

/**
 * File access through commands in the sandbox: the host never follows a path that a session may have laid out. For
 * drivers whose sandboxes have a shell, coreutils and findutils.
 */
export async function readSandboxFile(exec: Sandbox["exec"], path: string): Promise<Uint8Array> {
  return runScript(exec, READ, path, null, READ_FILE_BYTES_MAX);
}

export async function writeSandboxFile(exec: Sandbox["exec"], path: string, data: Uint8Array): Promise<void> {
  await runScript(exec, WRITE, path, data, MESSAGE_BYTES_MAX);
}

export async function listSandboxFiles(exec: Sandbox["exec"], path: string): Promise<FileEntry[]> {
  const output = await runScript(exec, LIST, path, null, ENTRIES_BYTES_MAX);
  return output
    .toString("utf8")
    .split("\0")
    .filter((line) => line !== "")
    .map((line) => parseEntry(path, line));
}

function parseEntry(dir: string, line: string): FileEntry {
  const [type = "", size = "0", time = "0", ...name] = line.split("\t");
  const types: Readonly<Record<string, FileEntry["type"]>> = { f: "file", d: "directory", l: "symlink" };
  return {
    path: posix.join(dir, name.join("\t")),
    type: types[type] ?? "other",
    sizeBytes: Number(size),
    modifiedAt: new Date(Number(time) * 1000),
  };
}

/** @throws SandboxError `path_refused` for what cannot be a path in one of the session's directories */
export function checkSandboxPath(path: string): string {
  if (!posix.isAbsolute(path) || /[\0\n]/.test(path))
    throw new SandboxError("path_refused", `not an absolute path: ${JSON.stringify(path)}`);
  const clean = posix.normalize(path);
  if (!ROOTS.some((root) => `${clean}/`.startsWith(`${root}/`))) throw refused(path);
  return clean;
}

function refused(path: string): SandboxError {
  return new SandboxError("path_refused", `${path} is outside the session's directories`);
}

async function runScript(
  exec: Sandbox["exec"],
  script: string,
  path: string,
  input: Uint8Array | null,
  outputBytesMax: number,
): Promise<Buffer> {
  const child = await exec(["/bin/sh", "-c", script, "sh", checkSandboxPath(path), ...ROOTS], { cwd: "/", network: false });
  const output = collect(child.stdout, outputBytesMax);
  const message = collect(child.stderr, MESSAGE_BYTES_MAX);
  if (input !== null) child.stdin.write(input);
  child.stdin.end();
  const [exit, bytes, text] = await Promise.all([child.exited, output, message]);
  if (exit.code === STATUS_NOT_FOUND) throw new SandboxError("not_found", `${path}: no such file or directory`);
  if (exit.code === STATUS_REFUSED) throw refused(path);
  if (exit.killedBy !== undefined) throw new SandboxError("limit", `${path}: the sandbox's ${exit.killedBy} limit is used up`);
  if (exit.code !== 0)
    throw new SandboxError("io", text.bytes.toString("utf8").trim() || `${path}: failed with status ${exit.code}`);
  if (bytes.isCut) throw new SandboxError("limit", `${path}: larger than ${outputBytesMax} bytes`);
  return bytes.bytes;
}

/** Reads to the end and keeps no more than `bytesMax`. */
async function collect(stream: NodeJS.ReadableStream, bytesMax: number): Promise<{ bytes: Buffer; isCut: boolean }> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    const bytes = Buffer.from(chunk as Buffer);
    if (size + bytes.length <= bytesMax) chunks.push(bytes);
    size += bytes.length;
  }
  return { bytes: Buffer.concat(chunks), isCut: size > bytesMax };
}
