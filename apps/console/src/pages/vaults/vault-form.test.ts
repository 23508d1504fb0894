import { expect, test } from "vitest";
import { vaultCreateParams } from "./vault-form.ts";

test("a vault of a model provider says so in its metadata, and others say nothing", () => {
  const form = { displayName: " Team ", llm: false, baseUrl: "https://left.example", engine: "claude" };
  expect(vaultCreateParams(form)).toEqual({ display_name: "Team" });
  expect(vaultCreateParams({ ...form, llm: true, engine: "" })).toEqual({
    display_name: "Team",
    metadata: {
      "sandbox0.managed_agents.role": "llm",
      "sandbox0.managed_agents.llm_base_url": "https://left.example",
    },
  });
});
