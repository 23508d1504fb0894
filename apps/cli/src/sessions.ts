import type Anthropic from "@anthropic-ai/sdk";
import { callServer, createClient, explain, SERVER_OPTIONS } from "./client.ts";
import { type Arguments, type Command, EXIT, JSON_OPTION, type Output, UserError, usageError } from "./command.ts";
import { formatEvent, type SessionEvent } from "./event-line.ts";
import { EventPrinter } from "./event-printer.ts";
import { followSession } from "./follow.ts";
import { createPaint } from "./paint.ts";
import { printJson, printLine, printTable, shorten } from "./print.ts";

const STATUSES = ["idle", "running", "rescheduling", "terminated"] as const;
const LIST_DEFAULT = 20;
const LIST_MAX = 1_000;
const TITLE_CHARS_MAX = 40;
/** The most text `sessions send -` reads from standard input; the server refuses longer text anyway. */
const STDIN_BYTES_MAX = 4 * 1024 * 1024;

type Session = Awaited<ReturnType<Anthropic["beta"]["sessions"]["retrieve"]>>;

export const sessionsList: Command = {
  name: "sessions list",
  summary: "List sessions, newest first.",
  positionals: [],
  options: {
    status: { type: "string", help: "only those", value: STATUSES.join("|") },
    limit: { type: "string", help: `how many (default ${LIST_DEFAULT}, at most ${LIST_MAX})`, value: "n" },
    all: { type: "boolean", help: "archived ones too" },
    ...SERVER_OPTIONS,
    ...JSON_OPTION,
  },
  async run(args, output) {
    const limit = readLimit(args);
    const status = STATUSES.find((name) => name === args.text("status"));
    const client = createClient(args);
    const sessions = await callServer(client, async () => {
      const found: Session[] = [];
      const query = {
        limit: Math.min(limit, 100),
        include_archived: args.flag("all"),
        ...(status ? { statuses: [status] } : {}),
      };
      for await (const session of client.beta.sessions.list(query)) if (found.push(session) >= limit) break;
      return found;
    });
    if (args.flag("json")) {
      printJson(output, sessions);
    } else {
      const rows = sessions.map((session) => [
        session.id,
        session.status,
        session.created_at,
        session.agent.name,
        shorten(session.title ?? "", TITLE_CHARS_MAX),
      ]);
      printTable(output, ["ID", "STATUS", "CREATED", "AGENT", "TITLE"], rows);
    }
    return EXIT.ok;
  },
};

function readLimit(args: Arguments): number {
  const limit = Number(args.text("limit") ?? LIST_DEFAULT);
  if (!Number.isInteger(limit) || limit < 1 || limit > LIST_MAX) {
    throw usageError(sessionsList, `--limit takes a whole number from 1 to ${LIST_MAX}`);
  }
  return limit;
}

export const sessionsShow: Command = {
  name: "sessions show",
  summary: "Show a session and its events.",
  positionals: ["<session id>"],
  options: { ...SERVER_OPTIONS, ...JSON_OPTION },
  async run(args, output) {
    const client = createClient(args);
    const id = args.positionals[0] ?? "";
    const [session, events] = await callServer(client, async () => {
      const retrieved = await client.beta.sessions.retrieve(id);
      const list: SessionEvent[] = [];
      for await (const event of client.beta.sessions.events.list(id)) list.push(event);
      return [retrieved, list] as const;
    });
    if (args.flag("json")) {
      printJson(output, { session, events });
      return EXIT.ok;
    }
    const { usage } = session;
    printTable(
      output,
      [session.id, session.status],
      [
        ["title", session.title ?? "-"],
        ["agent", `${session.agent.name} (${session.agent.id}, version ${session.agent.version})`],
        ["model", session.agent.model.id],
        ["environment", session.environment_id],
        ["created", session.created_at],
        ["updated", session.updated_at],
        [
          "tokens",
          `${usage.input_tokens ?? 0} in, ${usage.output_tokens ?? 0} out, ${usage.cache_read_input_tokens ?? 0} from cache`,
        ],
      ],
    );
    printLine(output);
    const paint = createPaint(output.stdout);
    for (const event of events) printLine(output, formatEvent(event, { paint }));
    return EXIT.ok;
  },
};

export const sessionsSend: Command = {
  name: "sessions send",
  summary: "Send a session a user message.",
  positionals: ["<session id>", "[text...]"],
  options: {
    wait: { type: "boolean", short: "w", help: "print the events until the session is idle" },
    ...SERVER_OPTIONS,
    ...JSON_OPTION,
  },
  details: `
The words after the id are the message; '-' or nothing reads it from standard input.
With --wait the exit code is 1 when the turn ends in an error.

  sandbox0 sessions send sesn_... --wait "What is in /workspace?"`,
  async run(args, output) {
    const [id = "", ...words] = args.positionals;
    const text = words.length === 0 || words.join(" ") === "-" ? await readStdin() : words.join(" ");
    if (text.trim() === "") throw usageError(sessionsSend, "The message is empty");
    const client = createClient(args);
    const send = () =>
      client.beta.sessions.events.send(id, { events: [{ type: "user.message", content: [{ type: "text", text }] }] });
    if (args.flag("wait")) return await sendAndWait(client, id, send, args, output);
    const sent = await callServer(client, send);
    if (args.flag("json")) printJson(output, sent.data);
    else for (const event of sent.data ?? []) printLine(output, `sent ${event.id}`);
    return EXIT.ok;
  },
};

async function sendAndWait(
  client: Anthropic,
  id: string,
  send: () => ReturnType<Anthropic["beta"]["sessions"]["events"]["send"]>,
  args: Arguments,
  output: Output,
): Promise<number> {
  try {
    const first = (await send()).data?.[0]?.id;
    const printer = new EventPrinter(output, { json: args.flag("json") });
    let taken = false;
    for await (const event of followSession(client, id, args.flag("json") ? {} : { previews: ["agent.message"] })) {
      // The history comes first, and the turn that the message may wait for: shown is what follows when it is taken up.
      const isQueued = "processed_at" in event && event.processed_at === null;
      if ("id" in event && event.id === first && !isQueued) taken = true;
      if (!taken) continue;
      printer.print(event);
      if (event.type === "session.status_idle") return event.stop_reason.type === "retries_exhausted" ? EXIT.failed : EXIT.ok;
    }
    return EXIT.failed;
  } catch (error) {
    throw explain(error, client.baseURL);
  }
}

async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of process.stdin) {
    const bytes = Buffer.from(chunk);
    sizeBytes += bytes.length;
    if (sizeBytes > STDIN_BYTES_MAX) throw new UserError(`The message is longer than ${STDIN_BYTES_MAX} bytes.`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}
