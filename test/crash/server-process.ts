import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const BIN = fileURLToPath(new URL("../../apps/cli/bin/sandbox0.js", import.meta.url));
const PRELOADED = fileURLToPath(new URL("preloaded-server.ts", import.meta.url));
/** A loaded machine must still pass. */
const READY_TIMEOUT_MS = 60_000;
const OUTPUT_CHARS_MAX = 20_000;

type Environment = Readonly<Record<string, string>>;

/** A server as a process of its own, to be killed. */
export interface ServerProcess {
  readonly pid: number;
  /** "" without the role `api`. */
  readonly url: string;
  /** The end of what it printed, for the message of a failure. */
  output(): string;
  signal(signal: NodeJS.Signals): void;
  /** SIGKILL, and waits until it is gone. */
  kill(): Promise<void>;
  /** Resolves when it is gone for whatever reason. */
  readonly exited: Promise<number | null>;
}

/**
 * Starts `sandbox0 serve` and waits until it listens.
 * @param options.onOutput is told all that it prints
 * @throws Error with its output when it ends or stays silent
 */
export function startServerProcess(
  environment: Environment,
  options: { onOutput?: (chunk: string) => void } = {},
): Promise<ServerProcess> {
  return listening(new Started([BIN, "serve"], environment, options.onOutput));
}

/** A process that has loaded the server's code and waits. */
export interface PreloadedServer {
  /** Resolves when it waits. */
  readonly loaded: Promise<void>;
  /** Becomes a server. @throws as `startServerProcess` does */
  start(): Promise<ServerProcess>;
  /** SIGKILL, before or after `start`. */
  kill(): Promise<void>;
  readonly isKilled: boolean;
}

export function preloadServerProcess(environment: Environment): PreloadedServer {
  const started = new Started([PRELOADED], environment);
  const loaded = once(started.child, "message").then(() => undefined);
  // Whoever starts it finds out if it is gone.
  loaded.catch(() => undefined);
  return {
    loaded,
    start() {
      started.child.send("start");
      return listening(started);
    },
    kill: () => started.kill(),
    get isKilled() {
      return started.isKilled;
    },
  };
}

class Started {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  readonly url = Promise.withResolvers<string>();
  output = "";
  isKilled = false;

  constructor(argv: readonly string[], environment: Environment, onOutput?: (chunk: string) => void) {
    const { PATH = "", HOME = "" } = process.env;
    // With the channel the server notices when the tests die.
    const child = spawn(process.execPath, argv, {
      env: { PATH, HOME, SANDBOX0_PORT: "0", ...environment },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (chunk: string) => {
        onOutput?.(chunk);
        this.output = (this.output + chunk).slice(-OUTPUT_CHARS_MAX);
        const ready = /^sandbox0 (?:listening on (\S+)|working).*\n/m.exec(this.output);
        if (ready) this.url.resolve(ready[1] ?? "");
      });
    }
    this.exited = new Promise((resolve, reject) => {
      child.on("error", reject).on("exit", (code) => resolve(code));
    });
    // Whoever starts it looks at both.
    this.url.promise.catch(() => undefined);
    this.exited.then((code) => this.fail(`the server ended with ${code} before it listened`), this.url.reject);
  }

  fail(message: string): void {
    this.url.reject(new Error(`${message}\n${this.output}`));
  }

  async kill(): Promise<void> {
    this.isKilled = true;
    this.child.kill("SIGKILL");
    await this.exited;
  }
}

async function listening(started: Started): Promise<ServerProcess> {
  const timer = setTimeout(() => started.fail("the server is not up"), READY_TIMEOUT_MS);
  try {
    return {
      pid: started.child.pid as number,
      url: await started.url.promise,
      output: () => started.output,
      signal: (signal) => void started.child.kill(signal),
      kill: () => started.kill(),
      exited: started.exited,
    };
  } catch (error) {
    await started.kill();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
