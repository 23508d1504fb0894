import type Anthropic from "@anthropic-ai/sdk";
import { callServer, createClient, SERVER_OPTIONS } from "./client.ts";
import { type Arguments, type Command, EXIT, JSON_OPTION, type Output, usageError } from "./command.ts";
import { printJson, printLine, printTable } from "./print.ts";

type Session = Awaited<ReturnType<Anthropic["beta"]["sessions"]["retrieve"]>>;

interface Snapshot {
  id: string;
  name: string | null;
  stop_reason: { type: string } | null;
  created_at: string;
}

const path = (sessionId: string, rest: string): string => `/sandbox0/v1/sessions/${encodeURIComponent(sessionId)}/${rest}`;

export const sessionsSnapshot: Command = {
  name: "sessions snapshot",
  summary: "Keep an idle session as it is now, its conversation and its files.",
  positionals: ["<session id>"],
  options: { name: { type: "string", help: "what to call it", value: "name" }, ...SERVER_OPTIONS, ...JSON_OPTION },
  async run(args, output) {
    const client = createClient(args);
    const name = args.text("name");
    const body = name === undefined ? {} : { name };
    const [id = ""] = args.positionals;
    const snapshot = await callServer(client, () => client.post<Snapshot>(path(id, "snapshots"), { body }));
    if (args.flag("json")) printJson(output, snapshot);
    else printLine(output, snapshot.id);
    return EXIT.ok;
  },
};

export const sessionsSnapshots: Command = {
  name: "sessions snapshots",
  summary: "List the snapshots of a session, newest first.",
  positionals: ["<session id>"],
  options: { ...SERVER_OPTIONS, ...JSON_OPTION },
  async run(args, output) {
    const client = createClient(args);
    const [id = ""] = args.positionals;
    const snapshots = await callServer(client, () => listAll(client, id));
    if (args.flag("json")) {
      printJson(output, snapshots);
    } else {
      const rows = snapshots.map((each) => [each.id, each.created_at, each.stop_reason?.type ?? "-", each.name ?? ""]);
      printTable(output, ["ID", "CREATED", "STOPPED FOR", "NAME"], rows);
    }
    return EXIT.ok;
  },
};

async function listAll(client: Anthropic, sessionId: string): Promise<Snapshot[]> {
  const all: Snapshot[] = [];
  for (let page: string | null = null; ; ) {
    const query = page === null ? { limit: 100 } : { limit: 100, page };
    const answer: { data: Snapshot[]; next_page: string | null } = await client.get(path(sessionId, "snapshots"), { query });
    all.push(...answer.data);
    page = answer.next_page;
    if (page === null) return all;
  }
}

export const sessionsFork: Command = {
  name: "sessions fork",
  summary: "Make a new session that begins as another one stands, or stood.",
  positionals: ["<session id>"],
  options: {
    snapshot: { type: "string", help: "as it stood at this snapshot", value: "snapshot id" },
    event: { type: "string", help: "as it stood at this session.status_idle event", value: "event id" },
    title: { type: "string", help: "of the new session (default: the same)", value: "text" },
    ...SERVER_OPTIONS,
    ...JSON_OPTION,
  },
  async run(args, output) {
    const [snapshot, event, title] = [args.text("snapshot"), args.text("event"), args.text("title")];
    if (snapshot !== undefined && event !== undefined)
      throw usageError(sessionsFork, "Use --snapshot or --event, not both of them");
    const body = {
      ...(snapshot === undefined ? {} : { snapshot_id: snapshot }),
      ...(event === undefined ? {} : { event_id: event }),
      ...(title === undefined ? {} : { title }),
    };
    return await printSession(args, output, "fork", body);
  },
};

export const sessionsRestore: Command = {
  name: "sessions restore",
  summary: "Take a session back to a snapshot of it, its conversation and its files.",
  positionals: ["<session id>", "<snapshot id>"],
  options: { ...SERVER_OPTIONS, ...JSON_OPTION },
  details: `
What came after the snapshot is not shown any more; a later snapshot leads back to it.`,
  run: async (args, output) => await printSession(args, output, "restore", { snapshot_id: args.positionals[1] ?? "" }),
};

async function printSession(args: Arguments, output: Output, operation: string, body: object): Promise<number> {
  const client = createClient(args);
  const [id = ""] = args.positionals;
  const session = await callServer(client, () => client.post<Session>(path(id, operation), { body }));
  if (args.flag("json")) printJson(output, session);
  else printLine(output, session.id);
  return EXIT.ok;
}
