/**
 * Newline-delimited JSON between the server (`spawner.ts`) and its spawner process (`spawner-main.ts`), over the
 * latter's stdin and stdout. The streams of a spawned process do not go through it: the spawner connects to the server's
 * socket once for each, says which it is in one line, and gives the connection to the process as its stdin, stdout or stderr.
 */

/** The first line: where to connect to, and what proves that it is the spawner who does. */
export interface SpawnerSetup {
  /** An abstract Unix socket's name, without the leading NUL. */
  socketName: string;
  secret: string;
}

export interface SpawnMessage {
  id: number;
  file: string;
  args: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  /** Files that the process has open for reading, from descriptor 3 on. */
  files: readonly string[];
}

export type SpawnerMessage =
  | { type: "spawned"; id: number; pid: number }
  /** Nothing more will come of this one. */
  | { type: "failed"; id: number; message: string }
  | { type: "exited"; id: number; code: number | null; signal: NodeJS.Signals | null };

/** The line that a stream's connection begins with. */
export interface StreamGreeting {
  secret: string;
  id: number;
  /** 0 stdin, 1 stdout, 2 stderr. */
  stream: number;
}

/** Calls `receive` for each line of a stream of JSON. */
export function readJsonLines(stream: NodeJS.ReadableStream, receive: (message: unknown) => void): void {
  let partial = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    const lines = (partial + chunk).split("\n");
    partial = lines.pop() ?? "";
    for (const line of lines) receive(JSON.parse(line));
  });
}
