import type { StepTiming } from "@sandbox0/harness";
import type { TurnEnd } from "../domain/turn.ts";

/** What the turns of this server are like, for its metrics. Called in the middle of turns: never blocks, never throws. */
export interface TurnMeter {
  /** One run of the harness, and how it ended. Milliseconds. */
  turn(end: TurnEnd["type"], ms: number): void;
  modelRequest(failed: boolean, timing: StepTiming): void;
  toolCall(kind: string, isError: boolean, ms: number): void;
  /** Another node took a session over that this one was running, or this one had to give it up. */
  leaseLost(): void;
}
