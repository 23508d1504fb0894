/**
 * Newline-delimited JSON between a tool client (host) and its tool server (sandbox), over the server's stdin and
 * stdout. Requests run at the same time; answers come in any order.
 */
export interface CallMessage {
  id: number;
  name: string;
  input: Record<string, unknown>;
}

/** Ends a call early where the tool can be; the answer still comes. */
export interface CancelMessage {
  cancel: number;
}

export interface AnswerMessage {
  id: number;
  text: string;
  isError: boolean;
}

/** What the server is started with, as its only argument, in JSON. */
export interface ToolServerSetup {
  workdir: string;
  allowedRoots: string[];
  readOnlyRoots: string[];
}
