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

export const INTERRUPT = { type: "user.interrupt" as const };

export function newSession(agent: AgentName): Part {
  return async (play) => {
    play.sessionId = await play.stage.createSession(play.server, { agent, title: play.tag });
  };
}

/** A session that works already when it is answered; whoever gets no answer makes another one. */
export function sessionWith(initialText: string): Part {
  return async (play) => {
    play.sessionId = await play.stage.createSession(play.server, { title: play.tag, initialText: tagged(play, initialText) });
  };
}

/** Events, with a string for a message. The last must be a message of a text of its own: if it is there, all are. */
export function sendOnce(...events: (EventParams | string)[]): Part {
  return async (play) => {
    const { stage, server } = play;
    const text = tagged(play, String(events.at(-1)));
    for await (const event of stage.client(server).beta.sessions.events.list(idOf(play), { types: ["user.message"] })) {
      if (event.type === "user.message" && JSON.stringify(event.content).includes(JSON.stringify(text))) return;
    }
    await send(...events)(play);
  };
}

export function send(...events: (EventParams | string)[]): Part {
  return async (play) => {
    const whole = events.map((event) => (typeof event === "string" ? message(tagged(play, event)) : event));
    await play.stage.send(play.server, idOf(play), whole);
  };
}

/** Answers what the session waits for. The same answer again is no error. */
export function answer(tool: "bash" | "lookup"): Part {
  return async (play) => {
    const { events } = await play.stage.record(idOf(play));
    const id = events.findLast((event) => event.body.name === tool)?.id as string;
    const content = [{ type: "text" as const, text: "forty-two" }];
    const event: EventParams =
      tool === "bash"
        ? { type: "user.tool_confirmation", tool_use_id: id, result: "allow" }
        : { type: "user.custom_tool_result", custom_tool_use_id: id, content };
    await send(event)(play);
  };
}

/** Sends, and waits until the model has the request and holds it. */
export function untilModelHolds(text: string, at: ModelPoint): Part {
  return async (play) => {
    const gate = play.stage.model.stopAt(play.tag, 1, at);
    await send(text)(play);
    await gate.reached;
  };
}

/** Sends a message whose script has a bash call that waits, and waits until it does. */
export function untilToolHolds(text: string): Part {
  return async (play) => {
    await send(text)(play);
    await until(async () => existsSync((await play.stage.workspacePath(idOf(play), STARTED_FILE)) ?? ""), {
      describe: "the tool to run",
    });
  };
}

export function letModelGoOn(): Part {
  return async ({ stage, tag }) => stage.model.letGoOn(tag);
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

function tagged(play: Play, text: string): string {
  return `${text} [${play.tag}]`;
}

function idOf(play: Play): string {
  if (play.sessionId === null) throw new Error("the scenario has no session yet");
  return play.sessionId;
}

/** The turn came to its own end, and a blow cost at most the result of one call that ran. */
export function endedWell(record: SessionRecord, hitAt: string | null): string[] {
  const found: string[] = [];
  if (record.head.stopReason?.type !== "end_turn") found.push(`stopped for ${JSON.stringify(record.head.stopReason)}`);
  const failed = record.events.filter(isFailedResult).length;
  const failedMax = hitAt === null ? 0 : 1;
  if (failed > failedMax) found.push(`${failed} calls failed, at most ${failedMax} may`);
  return found;
}

function isFailedResult(event: LogEvent): boolean {
  return event.type === "agent.tool_result" && event.body.is_error === true;
}
