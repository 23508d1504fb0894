import type { ModelUsage, RefusalDetails } from "@sandbox0/protocol";
import type { Step, StepTiming, TurnError } from "../port.ts";

/** How one model request ended. */
export type ModelAnswer =
  | { type: "finished"; step: Step; refusal: RefusalDetails | null }
  | { type: "failed"; error: TurnError; usage: ModelUsage | null; timing: StepTiming }
  | { type: "aborted"; usage: ModelUsage | null; timing: StepTiming };
