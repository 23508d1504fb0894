import type Anthropic from "@anthropic-ai/sdk";
import { createClient, explain, SERVER_OPTIONS } from "./client.ts";
import { type Arguments, type Command, EXIT, type Output, usageError } from "./command.ts";
import type { StreamEvent } from "./event-line.ts";
import { EventPrinter } from "./event-printer.ts";
import { type FollowOptions, followSession } from "./follow.ts";

export const sessionsTail: Command = {
  name: "sessions tail",
  summary: "Print a session's events and follow it until it ends or you stop.",
  positionals: ["<session id>"],
  options: {
    "until-idle": { type: "boolean", help: "stop when the session is idle" },
    ...SERVER_OPTIONS,
    json: { type: "boolean", help: "print one JSON object a line" },
    previews: { type: "boolean", help: "with --json: event_start and event_delta too, as messages are written" },
  },
  details: `
Messages appear as they are written. A connection that breaks is made again: no event is lost or printed twice.
Colours are for terminals; NO_COLOR turns them off. What an agent wrote cannot steer the terminal: control characters are
shown as \\x1b, those that turn the direction of text as \\u202e.

Exit code 1 when the session was terminated.`,
  async run(args, output) {
    if (args.flag("previews") && !args.flag("json"))
      throw usageError(sessionsTail, "--previews goes with --json; without it messages appear as they are written anyway");
    const client = createClient(args);
    try {
      return await tail(client, args, output);
    } catch (error) {
      throw explain(error, client.baseURL);
    }
  },
};

async function tail(client: Anthropic, args: Arguments, output: Output): Promise<number> {
  const [id = ""] = args.positionals;
  const printer = new EventPrinter(output, { json: args.flag("json") });
  if (args.flag("until-idle")) {
    const { status } = await client.beta.sessions.retrieve(id);
    if (status === "idle" || status === "terminated") {
      for await (const event of client.beta.sessions.events.list(id)) printer.print(event);
      return EXIT.ok;
    }
  }
  let last: StreamEvent | undefined;
  for await (const event of followSession(client, id, followOptions(args, output, printer))) {
    printer.print(event);
    last = event;
    if (args.flag("until-idle") && (await isIdleNow(client, id, event))) break;
  }
  return last?.type === "session.status_terminated" ? EXIT.failed : EXIT.ok;
}

function followOptions(args: Arguments, output: Output, printer: EventPrinter): FollowOptions {
  return {
    previews: args.flag("json") && !args.flag("previews") ? [] : ["agent.message"],
    onBreak: () => {
      printer.endLine();
      output.stderr.write("sandbox0: the connection broke; connecting again\n");
    },
  };
}

/** An idle event of the history may be long past: the session itself says. */
async function isIdleNow(client: Anthropic, id: string, event: StreamEvent): Promise<boolean> {
  return event.type === "session.status_idle" && (await client.beta.sessions.retrieve(id)).status === "idle";
}
