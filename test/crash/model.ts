import { asOffered, byMarker, call, createGate, type Gate, hold, say, type ScriptedProvider, type Step } from "@sandbox0/testkit";
import { effectToken } from "./invariants.ts";

/** Where the answer to one request can be stopped: before its first byte, or in the middle. */
export type ModelPoint = "asked" | "answering";

/**
 * The model of the crash tests: scripts by a marker in the user's message, and a door that can be shut at any request of a
 * conversation, which a tag in that message tells apart.
 */
export interface Model {
  /** Requests so far, of all conversations or of one. */
  received(tag?: string): number;
  /** Requests whose answers were sent to their end, of all conversations. */
  answered(): number;
  /** Stops the `nth` request of a conversation from now on: the gate's `reached` tells; `letGoOn` opens it. */
  stopAt(tag: string, nth: number, point: ModelPoint): Gate;
  /** Answers what is stopped. */
  letGoOn(tag: string): void;
}

/** Where a scripted bash call leaves its trace, in /workspace. */
export const EFFECTS_FILE = "effects";
/** A bash call that waits has made the one, and goes on when the other is there. */
export const STARTED_FILE = "started";
export const GO_FILE = "go";

/** Appends a line that no other call appends. */
const effect = (): string => `echo ${effectToken()} >> /workspace/${EFFECTS_FILE}`;
const waitForGo = `touch /workspace/${STARTED_FILE}; while [ ! -e /workspace/${GO_FILE} ]; do sleep 0.02; done`;
/** Of a memory store that is called `notes`. */
const MEMORY_DIR = "/mnt/memory/notes";
export const MANY_MEMORIES = 80;
/** `m1` and so on, with their numbers. */
const writeMemories = (count: number): string => `for i in {1..${count}}; do echo -n $i > ${MEMORY_DIR}/m$i; done`;
export const OUTPUTS = 60;
/** `o1` and so on, with their numbers. */
const writeOutputs = `cd /mnt/session/outputs && for i in {1..${OUTPUTS}}; do echo -n $i > o$i; done`;
/** Files of every size, hard and symbolic links, and modes. */
const fillWorkspace = [
  "cd /workspace && mkdir -p many/deep && seq 3000 | split -l 1 -a 3 - many/f",
  "for i in {1..6}; do head -c 10000000 /dev/urandom > large$i; done",
  "ln large1 many/again; ln -s ../large2 many/link; chmod 750 many/deep; chmod 500 many/faaa; echo kept > ~/note",
].join(" && ");
/** Of all that is in the workspace and the home, and how it is. */
const FINGERPRINT =
  "cd / && { find workspace home/agent/note -printf '%p %y %m %l %n\\n'; find workspace home/agent/note -type f | sort | xargs sha256sum; } | sort | sha256sum";
const bash = (command: string) => call("bash", { command });
const write = () => call("write", { file_path: "/workspace/note.txt", content: "written by the model" });
const look = () => call("glob", { pattern: "*" });

/** Each step is made anew for each request: a request that is sent again asks for calls with tokens of their own. */
const SCRIPTS = {
  "one after the other": [() => [say("First the effect."), bash(effect())], write, () => say("Both are done.")],
  // Results that come in the same moment may share a commit: these do not, so that there is one to cut behind each.
  "both at once": [() => [bash(`sleep 0.3; ${effect()}`), look()], () => say("Both are done.")],
  "wait, then the effect": [() => bash(`${waitForGo}; ${effect()}`), () => say("Done.")],
  "the effect, then wait": [() => bash(`${effect()}; ${waitForGo}`), () => say("Done.")],
  "ask the client": [() => [say("I have to ask."), bash(effect()), call("lookup", {})], () => say("Thank you.")],
  "three effects": [() => bash(effect()), () => [bash(effect()), bash(effect())], () => say("Three are done.")],
  "memories, then wait": [() => bash(`${writeMemories(40)}; ${waitForGo}`), () => say("Done.")],
  "many memories": [() => bash(writeMemories(MANY_MEMORIES)), () => say("Done.")],
  "read the memories": [() => bash(`ls ${MEMORY_DIR} | wc -l`), () => say("Done.")],
  "leave outputs": [() => bash(writeOutputs), () => say("Done.")],
  "count uploads": [() => bash("ls /mnt/session/uploads | wc -l; cat /mnt/session/uploads/* | wc -c"), () => say("Done.")],
  "fill the workspace": [() => bash(fillWorkspace), () => say("Done.")],
  fingerprint: [() => bash(FINGERPRINT), () => say("Done.")],
  "only talk": [() => say("Here I am.")],
} satisfies Record<string, readonly (() => Step)[]>;

export type ScriptName = keyof typeof SCRIPTS;

interface Stop {
  left: number;
  point: ModelPoint;
  gate: Gate;
}

export function createModel(provider: ScriptedProvider): Model {
  const armed = new Map<string, Stop>();
  const stopped = new Map<string, Gate[]>();
  const counts = new Map<string, number>();
  const play = asOffered(byMarker(SCRIPTS));
  const stopOf = (tag: string): Stop | undefined => {
    const stop = armed.get(tag);
    if (stop === undefined || --stop.left > 0) return undefined;
    armed.delete(tag);
    stopped.set(tag, [...(stopped.get(tag) ?? []), stop.gate]);
    return stop;
  };
  provider.onRequest(async (request) => {
    const step = await play(request);
    const tag = TAG.exec(JSON.stringify(request.messages.filter(({ role }) => role === "user")))?.[0] ?? "";
    counts.set(tag, (counts.get(tag) ?? 0) + 1);
    const stop = stopOf(tag);
    if (stop === undefined || step === undefined) return step;
    const parts = [step].flat();
    return stop.point === "asked" ? [hold(stop.gate), ...parts] : [say("Let me see."), hold(stop.gate), ...parts];
  });
  return {
    received: (tag) => (tag === undefined ? provider.received : (counts.get(tag) ?? 0)),
    answered: () => provider.requests.filter(({ state }) => state === "answered").length,
    stopAt(tag, nth, point) {
      const gate = createGate();
      armed.set(tag, { left: nth, point, gate });
      return gate;
    },
    letGoOn(tag) {
      for (const gate of stopped.get(tag) ?? []) gate.open();
    },
  };
}

const TAG = /tag-[0-9a-f-]{36}/;

/** Names a conversation in its messages. */
export function newTag(): string {
  return `tag-${crypto.randomUUID()}`;
}
