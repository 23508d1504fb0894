import { byMarker, createScriptedProvider } from "@sandbox0/testkit";
import type { Harness, ProviderConfig } from "../port.ts";
import { failureCases } from "./cases/failure.ts";
import { inputCases } from "./cases/input.ts";
import { memoryCases } from "./cases/memory.ts";
import { stopCases } from "./cases/stop.ts";
import { textCases } from "./cases/text.ts";
import { toolCases } from "./cases/tools.ts";
import { waitCases } from "./cases/wait.ts";
import type { HarnessCase } from "./harness-case.ts";
import { createTestSession } from "./test-session.ts";

export const HARNESS_CASES: readonly HarnessCase[] = [
  ...textCases,
  ...toolCases,
  ...waitCases,
  ...stopCases,
  ...memoryCases,
  ...inputCases,
  ...failureCases,
];

const API_KEY = "sk-test-0123456789-conformance";

/** Runs one case against a fresh provider. For a harness's own test: one test a case and API. */
export async function runHarnessCase(testCase: HarnessCase, harness: Harness, api: ProviderConfig["api"]): Promise<void> {
  const provider = await createScriptedProvider({ apiKey: API_KEY });
  const config = { api, baseUrl: provider.url, apiKey: API_KEY, contextWindow: 200_000, outputTokensMax: 32_000 };
  try {
    await testCase.run({
      harness,
      api,
      provider,
      script: (steps) => void provider.onRequest(byMarker(steps)),
      session: (options = {}) => createTestSession({ provider: config, ...options }),
      requests: (marker) =>
        provider.requests.filter((request) => request.messages.some((message) => message.text.includes(marker))),
    });
  } finally {
    await provider.close();
  }
}

/** Every case with every API the harness has, for `test.each`. */
export function harnessMatrix(harness: Harness): { title: string; run: () => Promise<void> }[] {
  return harness.capabilities.apis.flatMap((api) =>
    HARNESS_CASES.filter((testCase) => testCase.apis === undefined || testCase.apis.includes(api)).map((testCase) => ({
      title: `${api}: ${testCase.name}`,
      run: () => runHarnessCase(testCase, harness, api),
    })),
  );
}
