import { callServer, createClient, SERVER_OPTIONS } from "./client.ts";
import { type Command, EXIT, JSON_OPTION } from "./command.ts";
import { printJson, printLine, printTable } from "./print.ts";

const API_KEYS_PATH = "/sandbox0/v1/api_keys";

/** An API key as the server shows it: never the key itself, of which it keeps a hash only. */
interface ApiKey {
  id: string;
  name: string;
  workspace_id: string;
  /** The last characters of the key. */
  hint: string;
  created_at: string;
  revoked_at: string | null;
}

interface CreatedApiKey extends ApiKey {
  key: string;
}

export const keysCreate: Command = {
  name: "keys create",
  summary: "Make an API key. It is shown once.",
  positionals: ["<name>"],
  options: {
    workspace: { type: "string", help: "the workspace it opens (default: that of your own key)", value: "id" },
    ...SERVER_OPTIONS,
    ...JSON_OPTION,
  },
  async run(args, output) {
    const client = createClient(args);
    const workspace = args.text("workspace");
    const body = { name: args.positionals[0], ...(workspace === undefined ? {} : { workspace }) };
    const created = await callServer(client, () => client.post<CreatedApiKey>(API_KEYS_PATH, { body }));
    if (args.flag("json")) {
      printJson(output, created);
    } else {
      printLine(output, created.key);
      output.stderr.write(`${created.id} for workspace ${created.workspace_id}. Keep the key: it is not shown again.\n`);
    }
    return EXIT.ok;
  },
};

export const keysList: Command = {
  name: "keys list",
  summary: "List the API keys.",
  positionals: [],
  options: { ...SERVER_OPTIONS, ...JSON_OPTION },
  async run(args, output) {
    const client = createClient(args);
    const { data } = await callServer(client, () => client.get<{ data: ApiKey[] }>(API_KEYS_PATH));
    if (args.flag("json")) {
      printJson(output, data);
    } else {
      const rows = data.map((key) => [key.id, key.name, `…${key.hint}`, key.workspace_id, key.created_at, key.revoked_at ?? ""]);
      printTable(output, ["ID", "NAME", "KEY", "WORKSPACE", "CREATED", "REVOKED"], rows);
    }
    return EXIT.ok;
  },
};

export const keysRevoke: Command = {
  name: "keys revoke",
  summary: "Revoke an API key at once.",
  positionals: ["<key id>"],
  options: { ...SERVER_OPTIONS, ...JSON_OPTION },
  async run(args, output) {
    const client = createClient(args);
    const id = args.positionals[0] ?? "";
    const answer = await callServer(client, () => client.delete<unknown>(`${API_KEYS_PATH}/${encodeURIComponent(id)}`));
    if (args.flag("json")) printJson(output, answer);
    else printLine(output, `revoked ${id}`);
    return EXIT.ok;
  },
};
