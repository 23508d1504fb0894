/**
 * Newline-delimited JSON between a tool client (host) and its tool server (sandbox), over the server's stdin and
 * stdout. Requests run at the same time; answers come in any order.
 */

export const READY_ID = 0;

export interface CallMessage {
  id: number;
  name: string;
  input: Record<string, unknown>;
}

/** Ends a call early where the tool can be; the answer still comes. */
export interface CancelMessage {
  cancel: number;
}

/** The first one has `READY_ID` and says that the server runs. */
export interface AnswerMessage {
  id: number;
  text: string;
  isError: boolean;
}

/** What the server is started with: `--workdir <dir>`, then `--allow <dir>` and `--read-only <dir>`, each any number of times. */
export interface ToolServerSetup {
  workdir: string;
  allowedRoots: string[];
  readOnlyRoots: string[];
}
