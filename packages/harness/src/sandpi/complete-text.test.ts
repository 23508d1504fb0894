import { createScriptedProvider, fail, say, think, until, wait } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ProviderConfig } from "../port.ts";
import { createSandpi } from "./sandpi.ts";

const sandpi = createSandpi();
const scripted = await createScriptedProvider();
beforeAll(() => sandpi.warmUp());
afterAll(async () => {
  sandpi.close();
  await scripted.close();
});

const ask = (api: ProviderConfig["api"], signal = new AbortController().signal) =>
  sandpi.completeText({
    model: api === "anthropic-messages" ? "claude-haiku-4-5" : "gpt-5.4",
    provider: { api, baseUrl: scripted.url, apiKey: "sk-secret", contextWindow: 100_000, outputTokensMax: 4_096 },
    system: "Judge.",
    prompt: "Is it safe?",
    signal,
  });

test.each(["anthropic-messages", "openai-responses", "openai-completions"] as const)("%s answers a question", async (api) => {
  scripted.enqueue([think("hm"), say("allow")]);
  expect(await ask(api)).toBe("allow");
  const request = scripted.requests.at(-1);
  expect(request?.messages.at(-1)?.text).toContain("Is it safe?");
  expect(JSON.stringify(request?.body)).toContain("Judge.");
  expect(request?.toolNames).toEqual([]);
});

test("a failure says why, without the key", async () => {
  scripted.enqueue(fail(401, { message: "bad key sk-secret" }));
  const failure = await ask("anthropic-messages").catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: "completion_failed", message: expect.stringContaining("bad key") });
  expect(String(failure)).not.toContain("sk-secret");
});

test("an abort cuts it", async () => {
  scripted.enqueue([wait(60_000), say("late")]);
  const stop = new AbortController();
  const before = scripted.received;
  const answer = ask("anthropic-messages", stop.signal);
  await until(() => scripted.received > before);
  stop.abort();
  await expect(answer).rejects.toMatchObject({ code: "completion_failed" });
});
