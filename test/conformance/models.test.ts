import type { BetaModelInfo } from "@anthropic-ai/sdk/resources/beta/models";
import { say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer } from "./fixture/conformance-server.ts";
import { refusedAsInvalid, refusedAsUnknown } from "./fixture/refused.ts";
import { saidBy } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

const all = async (query: Parameters<typeof server.client.beta.models.list>[0] = {}): Promise<BetaModelInfo[]> => {
  const found: BetaModelInfo[] = [];
  for await (const model of server.client.beta.models.list(query)) found.push(model);
  return found;
};

verifies("models.list", "newest first, without the retired", async () => {
  const models = await all();
  expect(models.map(({ id }) => id)).toEqual(
    expect.arrayContaining(["claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-4-5-20251001"]),
  );
  const days = models.map(({ id }) => Number(/-(\d{8})$/.exec(id)?.[1] ?? Number.POSITIVE_INFINITY));
  expect(days).toEqual([...days].sort((a, b) => (a === b ? 0 : b - a)));
  expect(models.filter(({ lifecycle }) => lifecycle === "retired")).toEqual([]);
  expect((await all({ lifecycle: ["active"] })).every(({ lifecycle }) => lifecycle === "active")).toBe(true);
  expect(await all({ lifecycle: ["retired"] })).toEqual([]);
  await refusedAsInvalid(all({ lifecycle: ["extinct" as "active"] }), /lifecycle/);
});

verifies("models.retrieve", "by id and by alias", async () => {
  const model = await server.client.beta.models.retrieve("claude-haiku-4-5-20251001");
  expect(model).toMatchObject({ type: "model", line: "haiku", capabilities: { image_input: { supported: true } } });
  expect(await server.client.beta.models.retrieve("claude-haiku-4-5")).toEqual(model);
  expect(await server.client.models.retrieve("claude-haiku-4-5")).toMatchObject({ id: model.id });
  await refusedAsUnknown(server.client.beta.models.retrieve("claude-nobody-1"));
});

verifies("pages.models", "pages by id, in both directions", async () => {
  const models = await all();
  const { models: api } = server.client.beta;
  const first = await api.list({ limit: 3 });
  expect(first).toMatchObject({ has_more: true, first_id: models[0]?.id, last_id: models[2]?.id });
  const second = await api.list({ limit: 3, after_id: first.last_id ?? "" });
  expect(second.data).toEqual(models.slice(3, 6));
  const back = await api.list({ limit: 2, before_id: second.first_id ?? "" });
  expect(back.data).toEqual(models.slice(1, 3));
  expect(await all({ limit: 2 })).toEqual(models);
  const end = await api.list({ after_id: models.at(-1)?.id ?? "" });
  expect(end).toMatchObject({ data: [], has_more: false, first_id: null, last_id: null });
  await refusedAsInvalid(
    api.list({ limit: 1001 }).then((page) => page.data),
    /limit/,
  );
});

verifies("models.unknown-model", "a model the server does not list is its provider's to judge", async () => {
  for (const id of ["claude-some-preview", "gpt-next"]) {
    const session = await server.start({ model: id }, say("Here."));
    expect(saidBy(await session.rest())).toEqual(["Here."]);
    expect(server.provider.requests.at(-1)).toMatchObject({ model: id, api: id.startsWith("claude") ? "messages" : "responses" });
  }
});
