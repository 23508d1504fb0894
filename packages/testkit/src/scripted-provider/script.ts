import type { ScriptedRequest } from "./request.ts";
import type { Step } from "./step.ts";

/** Chooses the answer to a request; `undefined` leaves it to the next in line. */
export type Script = (request: ScriptedRequest) => Step | undefined | Promise<Step | undefined>;

/**
 * Scripts by a marker in the conversation: the marker that was said last, in a user message, chooses the script, and the
 * number of model answers since then chooses the step. Everything comes from the request, so any number of sessions can
 * play at once, a request that is sent again gets the same step, and a killed server can go on. Past its end a script
 * has no step.
 */
export function byMarker(scripts: Readonly<Record<string, readonly (Step | Script)[]>>): Script {
  return (request) => {
    let answered = 0;
    for (const message of request.messages.toReversed()) {
      if (message.role === "assistant") answered += 1;
      const marker = message.role === "user" ? lastMarker(message.text, Object.keys(scripts)) : undefined;
      if (marker === undefined) continue;
      const step = scripts[marker]?.[answered];
      return typeof step === "function" ? step(request) : step;
    }
    return undefined;
  };
}

/** Several messages sent while a session was busy reach the model as one: the last of them counts. */
function lastMarker(text: string, markers: readonly string[]): string | undefined {
  const found = markers.filter((marker) => text.includes(marker));
  return found.toSorted((a, b) => text.lastIndexOf(b) - text.lastIndexOf(a))[0];
}

/** A step that changes from one request to the next: failures that pass, for example. The last one stays. */
export function inOrder(...steps: readonly [Step, ...Step[]]): Script {
  let next = 0;
  return () => steps[Math.min(next++, steps.length - 1)];
}
