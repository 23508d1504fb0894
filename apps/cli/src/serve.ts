import { once } from "node:events";
import { constants } from "node:os";
import type { RunningServer } from "@sandbox0/server/main";
import { type Command, EXIT, type Output } from "./command.ts";
import { exitWhenLate } from "./exit-when-late.ts";
import { printLine } from "./print.ts";
import { startServer } from "./server.ts";
import { loadSettings } from "./settings.ts";

const STOP_SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"];

export const serve: Command = {
  name: "serve",
  summary: "Start the server and stay in the foreground.",
  positionals: [],
  options: {
    host: { type: "string", help: "address to listen on (SANDBOX0_HOST, default 127.0.0.1)", value: "host" },
    port: { type: "string", help: "port, 0 picks one (SANDBOX0_PORT, default 8787)", value: "port" },
    "data-dir": { type: "string", help: "where data lives (SANDBOX0_DATA_DIR, default .sandbox0)", value: "path" },
  },
  details: `
Prints 'sandbox0 listening on http://HOST:PORT' when it is ready. SIGTERM or Ctrl-C lets what is under way reach a safe
point and stops; a second one stops at once, which loses nothing either. README.md lists the environment variables.`,
  async run(args, output) {
    const stop = listenForStop();
    void stop.then(() => exitWhenLate(output.stderr));
    const server = await startServer({
      ...loadSettings().environment,
      ...defined({
        SANDBOX0_HOST: args.text("host"),
        SANDBOX0_PORT: args.text("port"),
        SANDBOX0_DATA_DIR: args.text("data-dir"),
      }),
    });
    announce(server, output);
    await stop;
    output.stderr.write("sandbox0 draining; once more stops at once\n");
    await server.close();
    return EXIT.ok;
  },
};

function announce(server: RunningServer, output: Output): void {
  if (server.createdApiKey !== null) {
    printLine(output, `sandbox0 API key, shown once: ${server.createdApiKey}`);
    printLine(output, "  it is the apiKey of the SDK's client; as SANDBOX0_API_KEY the CLI uses it too");
  }
  printLine(output, server.url === "" ? "sandbox0 working, without the api role" : `sandbox0 listening on ${server.url}`);
}

/**
 * Resolves at the first SIGTERM, SIGINT or hang-up, also one that comes while the server still starts. One more of the
 * first two ends the process; a hang-up may follow of itself, when what started us dies of the same signal.
 */
async function listenForStop(): Promise<void> {
  const [signal] = await Promise.race(STOP_SIGNALS.map((name) => once(process, name)));
  process.on("SIGHUP", () => {
    // Stopping already.
  });
  const exitNow = (): never => process.exit(128 + constants.signals[signal === "SIGINT" ? "SIGINT" : "SIGTERM"]);
  process.once("SIGTERM", exitNow).once("SIGINT", exitNow);
}

function defined(values: Record<string, string | undefined>): Record<string, string> {
  const entries = Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]));
  return Object.fromEntries(entries);
}
