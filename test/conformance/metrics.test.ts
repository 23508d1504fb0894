import { readFile } from "node:fs/promises";
import { call, say, until } from "@sandbox0/testkit";
import { expect, test } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";

const server = conformanceServer();

async function scrape(): Promise<string> {
  const response = await fetch(`${server.url}/metrics`);
  expect(response.status).toBe(200);
  return response.text();
}

/** The value of a series. */
function sample(text: string, series: string): number {
  const line = text.split("\n").find((each) => each.startsWith(`${series} `));
  return Number(line?.slice(series.length + 1));
}

test("a turn with a command is counted in every place it passes", async () => {
  const session = await server.start({ tools: [TOOLSET] }, call("bash", { command: "true" }), say("Done."));
  await session.rest();
  const text = await until(async () => {
    const scraped = await scrape();
    return sample(scraped, 'sandbox0_sandbox_claim_seconds_count{source="warm"}') +
      sample(scraped, 'sandbox0_sandbox_claim_seconds_count{source="cold"}') !==
      0
      ? scraped
      : undefined;
  });
  expect(sample(text, 'sandbox0_turn_duration_seconds_count{end="end_turn"}')).toBe(1);
  expect(sample(text, 'sandbox0_model_request_duration_seconds_count{outcome="ok"}')).toBe(2);
  expect(sample(text, "sandbox0_model_first_token_seconds_count")).toBe(2);
  expect(sample(text, 'sandbox0_tool_call_duration_seconds_count{kind="builtin",outcome="ok"}')).toBe(1);
  expect(sample(text, "sandbox0_lease_lost_total")).toBe(0);
  expect(sample(text, 'sandbox0_database_connections{state="open"}')).toBeGreaterThan(0);
  expect(sample(text, 'sandbox0_sessions{status="idle"}')).toBeGreaterThanOrEqual(1);
});

test("the dashboard and the docs name only metrics that are there", async () => {
  const [text, dashboard, docs] = await Promise.all([
    scrape(),
    readFile("docs/grafana/sandbox0.json", "utf8"),
    readFile("docs/operations.md", "utf8"),
  ]);
  const names = new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name));
  const used = [...`${dashboard}\n${docs}`.matchAll(/\bsandbox0_[a-z_]+/g)].map(([name]) =>
    name.replace(/_(?:bucket|count|sum)$/, ""),
  );
  expect(used.length).toBeGreaterThan(20);
  expect(used.filter((name) => !names.has(name))).toEqual([]);
});
