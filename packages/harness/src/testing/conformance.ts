import { byMarker, createScriptedProvider } from "@sandbox0/testkit";
import type { Harness, HarnessCapabilities, ProviderConfig } from "../port.ts";
import { failureCases } from "./cases/failure.ts";
import { inputCases } from "./cases/input.ts";
import { memoryCases } from "./cases/memory.ts";
import { programCases } from "./cases/program.ts";
import { stopCases } from "./cases/stop.ts";
import { textCases } from "./cases/text.ts";
import { toolCases } from "./cases/tools.ts";
import { waitCases } from "./cases/wait.ts";
import type { HarnessCase } from "./harness-case.ts";
import type { SandboxStage } from "./sandbox-stage.ts";
import { createTestSession, type TestSession } from "./test-session.ts";
import { VENDOR_LIMITS } from "./vendor-limits.ts";

export const HARNESS_CASES: readonly HarnessCase[] = [
  ...textCases,
  ...toolCases,
  ...waitCases,
  ...stopCases,
  ...memoryCases,
  ...inputCases,
  ...failureCases,
  ...programCases,
];

const API_KEY = "sk-test-0123456789-conformance";

/**
 * Runs one case against a fresh provider. For a harness's own test: one test a case and API.
 * @param stage gives the sandboxes of a harness that runs in them
 */
export async function runHarnessCase(
  testCase: HarnessCase,
  harness: Harness,
  api: ProviderConfig["api"],
  stage: SandboxStage | null = null,
): Promise<void> {
  const provider = await createScriptedProvider({ apiKey: API_KEY });
  const access = { url: provider.url, apiKey: API_KEY };
  const config = { api, baseUrl: provider.url, apiKey: API_KEY, contextWindow: 200_000, outputTokensMax: 32_000 };
  const sessions: TestSession[] = [];
  try {
    await testCase.run({
      harness,
      api,
      provider,
      stage,
      script: (steps) => void provider.onRequest(byMarker(steps)),
      session(options = {}) {
        const { wrapSandbox = (sandbox) => sandbox, ...rest } = options;
        const open = async (sessionId: string, from: SandboxStage) => wrapSandbox(await from.open(sessionId, access));
        const sandbox = stage === null ? {} : { openSandbox: (sessionId: string) => open(sessionId, stage) };
        const session = createTestSession({ provider: config, ...sandbox, ...rest });
        sessions.push(session);
        return session;
      },
      requests: (marker) =>
        provider.requests.filter((request) => request.messages.some((message) => message.text.includes(marker))),
    });
  } finally {
    await Promise.all(sessions.map(({ sessionId }) => stage?.forget(sessionId)));
    await provider.close();
  }
}

/** Whether the case is about a harness of this kind. */
export function isFor({ apis, placement }: HarnessCase, capabilities: HarnessCapabilities, api: ProviderConfig["api"]): boolean {
  return (apis?.includes(api) ?? true) && (placement ?? capabilities.placement) === capabilities.placement;
}

/** Every case with every API the harness has: a test each, that must fail where a limit says so. */
export function harnessMatrix(
  harness: Harness,
  stage: SandboxStage | null = null,
): { title: string; isLimited: boolean; run: () => Promise<void> }[] {
  const limits = VENDOR_LIMITS[harness.name];
  return harness.capabilities.apis.flatMap((api) =>
    HARNESS_CASES.filter((testCase) => isFor(testCase, harness.capabilities, api)).map((testCase) => ({
      title: `${api}: ${testCase.name}`,
      isLimited: testCase.name in limits,
      run: () => runHarnessCase(testCase, harness, api, stage),
    })),
  );
}
