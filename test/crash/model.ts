import { byMarker, call, createGate, type Gate, hold, say, type ScriptedProvider, type Step } from "@sandbox0/testkit";
import { effectToken } from "./invariants.ts";

/** Where the answer to one request can be stopped: before its first byte, or in the middle. */
export type ModelPoint = "asked" | "answering";

/** The model of the crash tests: scripts by a marker in the user's message, and a door that can be shut at any request. */
export interface Model {
  /** Requests so far. */
  readonly received: number;
  /** Stops the `nth` request from now on at `point`: the gate's `reached` tells, and `answerAll` lets it go on. */
  stopAt(nth: number, point: ModelPoint): Gate;
  /** Requests are answered at once again, the one that was stopped too. */
  answerAll(): void;
}

/** Where a scripted bash call leaves its trace, in /workspace. */
export const EFFECTS_FILE = "effects";
/** A bash call that waits has made the one, and goes on when the other is there. */
export const STARTED_FILE = "started";
export const GO_FILE = "go";

/** Appends a line that no other call appends. */
const effect = (): string => `echo ${effectToken()} >> /workspace/${EFFECTS_FILE}`;
const waitForGo = `touch /workspace/${STARTED_FILE}; while [ ! -e /workspace/${GO_FILE} ]; do sleep 0.02; done`;
const bash = (command: string) => call("bash", { command });
const write = () => call("write", { file_path: "/workspace/note.txt", content: "written by the model" });
const look = () => call("glob", { pattern: "*" });

/** Each step is made anew for each request: a request that is sent again asks for calls with tokens of their own. */
const SCRIPTS: Readonly<Record<string, readonly (() => Step)[]>> = {
  "one after the other": [() => [say("First the effect."), bash(effect())], write, () => say("Both are done.")],
  "both at once": [() => [bash(effect()), look()], () => say("Both are done.")],
  "wait, then the effect": [() => bash(`${waitForGo}; ${effect()}`), () => say("Done.")],
  "the effect, then wait": [() => bash(`${effect()}; ${waitForGo}`), () => say("Done.")],
  "ask the client": [() => [say("I have to ask."), bash(effect()), call("lookup", {})], () => say("Thank you.")],
  "three effects": [() => bash(effect()), () => [bash(effect()), bash(effect())], () => say("Three are done.")],
  "only talk": [() => say("Here I am.")],
};

export function createModel(provider: ScriptedProvider): Model {
  let stop: { left: number; point: ModelPoint; gate: Gate } | null = null;
  let stopped: Gate | null = null;
  const play = byMarker(SCRIPTS);
  provider.onRequest(async (request) => {
    const step = await play(request);
    if (stop === null || step === undefined || --stop.left > 0) return step;
    const { gate, point } = stop;
    stop = null;
    stopped = gate;
    const parts = [step].flat();
    return point === "asked" ? [hold(gate), ...parts] : [say("Let me see."), hold(gate), ...parts];
  });
  return {
    get received() {
      return provider.received;
    },
    stopAt(nth, point) {
      stop = { left: nth, point, gate: createGate() };
      return stop.gate;
    },
    answerAll() {
      stop = null;
      stopped?.open();
    },
  };
}
