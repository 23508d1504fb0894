import type { Script, ScriptedProvider, ScriptedRequest, Step } from "@sandbox0/testkit";
import type { Harness, HarnessCapabilities, HarnessSandbox, ProviderConfig } from "../port.ts";
import type { SandboxStage } from "./sandbox-stage.ts";
import type { TestSession, TestSessionOptions } from "./test-session.ts";

/** What a case works with: the harness under test and a provider of its own that speaks `api`. */
export interface CaseContext {
  harness: Harness;
  api: ProviderConfig["api"];
  provider: ScriptedProvider;
  /** `null` for a harness that runs in the server. */
  stage: SandboxStage | null;
  /**
   * Steps by marker: the last user message that contains the key begins the script. Harnesses may ask the model for
   * other things too (a title, for example): cases look at the requests of their own marker only.
   */
  script(steps: Readonly<Record<string, readonly (Step | Script)[]>>): void;
  session(options?: CaseSessionOptions): TestSession;
  /** Requests so far whose conversation has the marker, oldest first. */
  requests(marker: string): ScriptedRequest[];
}

export interface CaseSessionOptions extends Omit<TestSessionOptions, "provider" | "openSandbox"> {
  /** What the harness is given in place of its sandbox. */
  wrapSandbox?: (sandbox: HarnessSandbox) => HarnessSandbox;
}

export interface HarnessCase {
  name: string;
  /** Left out: all APIs. */
  apis?: readonly ProviderConfig["api"][];
  /** Left out: all harnesses. */
  placement?: HarnessCapabilities["placement"];
  run(context: CaseContext): Promise<void>;
}
