import { existsSync } from "node:fs";
import { until } from "@sandbox0/testkit";
import type { Play } from "./kill-matrix.ts";
import { type ModelPoint, STARTED_FILE } from "./model.ts";
import type { LogEvent, SessionRecord } from "./session-record.ts";
import { type AgentName, type EventParams, message } from "./stage.ts";

/**
 * Parts of scenarios: what a careful client does, who may have been cut off without an answer and then does it again. A
 * message that is sent twice counts twice, so it looks first; an answer it just repeats.
 */
type Part = (play: Play) => Promise<void>;

export function newSession(agent: AgentName): Part {
  return async (play) => {
    play.sessionId = await play.stage.createSession(play.server, { agent });
  };
}

/** A session that works already when it is answered; whoever gets no answer makes another one. */
export function sessionWith(initialText: string): Part {
  return async (play) => {
    play.sessionId = await play.stage.createSession(play.server, { initialText });
  };
}

/** The last of `events` must be a message: if it is there, all are. */
export function sendOnce(...events: EventParams[]): Part {
  return async (play) => {
    const { stage, server } = play;
    const text = JSON.stringify((events.at(-1) as { content: unknown }).content);
    for await (const event of stage.client(server).beta.sessions.events.list(idOf(play), { types: ["user.message"] })) {
      if (event.type === "user.message" && JSON.stringify(event.content) === text) return;
    }
    await stage.send(server, idOf(play), events);
  };
}

export function send(...events: EventParams[]): Part {
  return ({ stage, server, sessionId }) => stage.send(server, sessionId as string, events);
}

/** Answers what the session waits for, by type of call. The same answer again is no error. */
export function answer(type: "bash" | "lookup", result: "allow" | "deny" = "allow"): Part {
  return async (play) => {
    const { stage, server } = play;
    const calls = (await stage.record(idOf(play))).events.filter((event) => event.body.name === type);
    const id = calls.at(-1)?.id as string;
    const content = [{ type: "text" as const, text: "forty-two" }];
    await stage.send(server, idOf(play), [
      type === "bash"
        ? { type: "user.tool_confirmation", tool_use_id: id, result }
        : { type: "user.custom_tool_result", custom_tool_use_id: id, content },
    ]);
  };
}

/** Sends, and waits until the model has the request and holds it. */
export function untilModelHolds(text: string, at: ModelPoint): Part {
  return async (play) => {
    const gate = play.stage.model.stopAt(1, at);
    await send(message(text))(play);
    await gate.reached;
  };
}

/** Sends a message whose script has a bash call that waits, and waits until it does. */
export function untilToolHolds(text: string): Part {
  return async (play) => {
    await send(message(text))(play);
    await until(async () => existsSync((await play.stage.workspacePath(idOf(play), STARTED_FILE)) ?? ""), {
      describe: "the tool to run",
    });
  };
}

export function letModelGoOn(): Part {
  return async ({ stage }) => stage.model.answerAll();
}

export function untilRest(): Part {
  return async (play) => {
    await play.stage.untilRest(idOf(play));
  };
}

export function inOrder(...parts: readonly Part[]): Part {
  return async (play) => {
    for (const part of parts) await part(play);
  };
}

function idOf(play: Play): string {
  if (play.sessionId === null) throw new Error("the scenario has no session yet");
  return play.sessionId;
}

/** The turn came to its own end, and a crash cost at most the results of the calls that ran. */
export function endedWell(record: SessionRecord, killedAt: string | null): string[] {
  const found: string[] = [];
  if (record.head.stopReason?.type !== "end_turn") found.push(`stopped for ${JSON.stringify(record.head.stopReason)}`);
  const failed = record.events.filter(isFailedResult).length;
  const failedMax = killedAt === null ? 0 : 1;
  if (failed > failedMax) found.push(`${failed} calls failed, at most ${failedMax} may`);
  return found;
}

function isFailedResult(event: LogEvent): boolean {
  return event.type === "agent.tool_result" && event.body.is_error === true;
}
