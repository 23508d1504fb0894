import { type Command, describeCommand, EXIT, type Output, parseCommandLine, UserError } from "./command.ts";
import { safeText } from "./terminal-text.ts";

/** Loaded one at a time: a server that starts, or a help text, does not wait for what the others need. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  serve: async () => (await import("./serve.ts")).serve,
  demo: async () => (await import("./demo.ts")).demo,
  doctor: async () => (await import("./doctor.ts")).doctor,
  chat: async () => (await import("./chat/chat.ts")).chat,
  "keys create": async () => (await import("./keys.ts")).keysCreate,
  "keys list": async () => (await import("./keys.ts")).keysList,
  "keys revoke": async () => (await import("./keys.ts")).keysRevoke,
  "sessions list": async () => (await import("./sessions.ts")).sessionsList,
  "sessions show": async () => (await import("./sessions.ts")).sessionsShow,
  "sessions tail": async () => (await import("./sessions-tail.ts")).sessionsTail,
  "sessions send": async () => (await import("./sessions.ts")).sessionsSend,
  "sessions snapshot": async () => (await import("./snapshots.ts")).sessionsSnapshot,
  "sessions snapshots": async () => (await import("./snapshots.ts")).sessionsSnapshots,
  "sessions fork": async () => (await import("./snapshots.ts")).sessionsFork,
  "sessions restore": async () => (await import("./snapshots.ts")).sessionsRestore,
  "agents apply": async () => (await import("./apply/apply.ts")).agentsApply,
  "environments apply": async () => (await import("./apply/apply.ts")).environmentsApply,
  "vaults apply": async () => (await import("./apply/apply.ts")).vaultsApply,
  "files apply": async () => (await import("./apply/apply.ts")).filesApply,
  "vaults rotate-key": async () => (await import("./vaults.ts")).vaultsRotateKey,
  completion: async () => (await import("./completion.ts")).createCompletion(() => loadCommands(Object.keys(COMMANDS))),
};

/**
 * Runs one command line. Prints what the user can mend as one sentence on stderr; lets bugs through.
 *
 * @returns the exit code: 0 done, 1 failed, 2 wrong use
 */
export async function main(argv: readonly string[], output: Output): Promise<number> {
  const name = Object.keys(COMMANDS).find((words) => words.split(" ").every((word, index) => argv[index] === word));
  const load = name === undefined ? undefined : COMMANDS[name];
  if (name === undefined || load === undefined) return await answerWithoutCommand(argv, output);
  const command = await load();
  const rest = argv.slice(name.split(" ").length);
  if (asksForHelp(rest)) {
    output.stdout.write(describeCommand(command));
    return EXIT.ok;
  }
  if (name !== "serve") endWithReader(output.stdout);
  try {
    return await command.run(parseCommandLine(command, rest), output);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    output.stderr.write(`sandbox0: ${safeText(error.message)}\n`);
    return error.exitCode;
  }
}

/** Who read the output has what it wanted and is gone, as `head` does: nothing is left to do. */
function endWithReader(stdout: Output["stdout"]): void {
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit(EXIT.ok);
  });
}

function asksForHelp(words: readonly string[]): boolean {
  const end = words.indexOf("--");
  return words.slice(0, end === -1 ? words.length : end).some((word) => word === "--help" || word === "-h");
}

async function answerWithoutCommand(argv: readonly string[], output: Output): Promise<number> {
  const [first, second] = argv;
  const all = Object.keys(COMMANDS);
  const group = all.filter((name) => name.startsWith(`${first} `));
  if (first === undefined || first === "help" || asksForHelp(argv)) {
    output.stdout.write(await describeCommands(group.length > 0 ? group : all));
    return EXIT.ok;
  }
  output.stderr.write(`sandbox0: ${explainUnknown(first, second, group)}.\nRun 'sandbox0 --help'.\n`);
  return EXIT.usage;
}

function explainUnknown(first: string, second: string | undefined, group: readonly string[]): string {
  if (group.length === 0) return `No command '${first}'`;
  const words = group.map((name) => name.slice(first.length + 1)).join(", ");
  return second === undefined ? `'${first}' needs one more word: ${words}` : `No command '${first} ${second}', but ${words}`;
}

const loadCommands = (names: readonly string[]): Promise<Command[]> =>
  Promise.all(names.flatMap((name) => COMMANDS[name]?.() ?? []));

async function describeCommands(names: readonly string[]): Promise<string> {
  const commands = await loadCommands(names);
  const rows = commands.map(({ name, summary }) => `  ${name.padEnd(20)} ${summary}`);
  return [
    "sandbox0: a self-hosted backend that speaks the Claude Managed Agents API.",
    "",
    "Usage: sandbox0 <command> [options]",
    "",
    ...rows,
    "",
    "'sandbox0 <command> --help' says more about each.",
    "",
  ].join("\n");
}
