import { readFileSync } from "node:fs";
import { callServer, createClient, SERVER_OPTIONS } from "./client.ts";
import { type Command, EXIT, JSON_OPTION, UserError } from "./command.ts";
import { printJson, printLine } from "./print.ts";
import { loadSettings } from "./settings.ts";

interface Rotation {
  master_key_id: string;
  rewrapped: number;
  unreadable: string[];
}

export const vaultsRotateKey: Command = {
  name: "vaults rotate-key",
  summary: "Make a new master key and put every vault's data key under it.",
  positionals: [],
  options: {
    "new-key": {
      type: "string",
      help: "the new key: 32 bytes in hex or base64, or file:<path> (SANDBOX0_NEW_MASTER_KEY)",
      value: "key",
    },
    ...SERVER_OPTIONS,
    ...JSON_OPTION,
  },
  details: `
The server goes on serving meanwhile, and other servers of the same database take the new key up by themselves within
seconds. Needs an admin key. May be repeated: a rotation that was broken off goes on.

A server with a key file makes the new key itself. A server with SANDBOX0_MASTER_KEY must be given one; put it into the
environment of every server before its next start. Prefer file:<path> or the variable: arguments are seen by other users
of the machine.

Exit code 1 when a vault was unreadable before and still is.`,
  async run(args, output) {
    const client = createClient(args);
    const key = readKey(args.text("new-key") ?? loadSettings().newMasterKey);
    const body = key === undefined ? {} : { new_key: key };
    const rotation = await callServer(client, () => client.post<Rotation>("/sandbox0/v1/vaults/rotate_key", { body }));
    if (args.flag("json")) {
      printJson(output, rotation);
    } else {
      printLine(output, `master key ${rotation.master_key_id}, ${rotation.rewrapped} vaults are under it now`);
      if (key !== undefined)
        output.stderr.write("Give every server the new key before its next start, if its SANDBOX0_MASTER_KEY is another one.\n");
      for (const id of rotation.unreadable) output.stderr.write(`${id} cannot be read with any key that the server has\n`);
    }
    return rotation.unreadable.length === 0 ? EXIT.ok : EXIT.failed;
  },
};

function readKey(text: string | undefined): string | undefined {
  if (!text?.startsWith("file:")) return text;
  try {
    return readFileSync(text.slice("file:".length), "utf8").trim();
  } catch (error) {
    throw new UserError(`The file of the new key cannot be read: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}
