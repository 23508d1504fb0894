import { call, type EverythingServer, say, startEverythingServer } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect } from "vitest";
import { conformanceServer } from "./fixture/conformance-server.ts";
import { allow, countOf, deny, message, only, saidBy, textOf, waitingIds } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer({ SANDBOX0_EGRESS_ALLOW_PRIVATE: "127.0.0.0/8" });
let everything: EverythingServer | undefined;
beforeAll(async () => {
  everything = await startEverythingServer();
});
afterAll(() => everything?.close());

const tool = (name: string, input: Record<string, unknown> = {}) => call(`mcp__everything__${name}`, input);

verifies("mcp.everything", "echo, sums, images, resources, structure and progress, each confirmed", async () => {
  const vault = await server.client.beta.vaults.create({ display_name: "mcp" });
  const url = everything?.url ?? "";
  await server.client.beta.vaults.credentials.create(vault.id, {
    auth: { type: "static_bearer", mcp_server_url: url, token: "a-token-that-the-server-does-not-look-at" },
  });
  const session = await server.createSession({
    agent: {
      make: {
        mcp_servers: [{ type: "url", name: "everything", url }],
        tools: [{ type: "mcp_toolset", mcp_server_name: "everything" }],
      },
    },
    vault_ids: [vault.id],
  });
  const marker = server.play(
    [
      tool("echo", { message: "hello" }),
      tool("get-sum", { a: 40, b: 2 }),
      tool("get-tiny-image"),
      tool("get-structured-content", { location: "Chicago" }),
      tool("get-resource-reference", { resourceType: "Text", resourceId: 1 }),
      tool("get-resource-links", { count: 2 }),
      tool("trigger-long-running-operation", { duration: 1, steps: 2 }),
      tool("get-env"),
    ],
    say("All seen."),
  );
  await session.send(message(marker));
  const ids = waitingIds(await session.rest());
  expect(ids).toHaveLength(8);
  const env = ids.at(-1) ?? "";
  await session.send(...ids.slice(0, -1).map(allow), deny(env, "No environments."));
  const events = await session.rest();
  expect(countOf(events, "session.error")).toBe(0);
  expect(saidBy(events)).toEqual(["All seen."]);
  const results = ids.map((id) => only(events, "agent.mcp_tool_result").find(({ mcp_tool_use_id }) => mcp_tool_use_id === id));
  expect(results.map((result) => result?.is_error)).toEqual([false, false, false, false, false, false, false, true]);
  const [echo, sum, image, structure, reference, links, long, denied] = results;
  expect(textOf(echo ?? {})).toBe("Echo: hello");
  expect(textOf(sum ?? {})).toContain("42");
  expect(image?.content?.some((block) => block.type === "image")).toBe(true);
  expect(textOf(structure ?? {})).toContain("temperature");
  expect(reference?.content?.some((block) => block.type === "document")).toBe(true);
  expect(textOf(links ?? {})).toContain("[resource");
  expect(textOf(long ?? {})).toContain("completed");
  expect(textOf(denied ?? {})).toContain("No environments.");
  expect(JSON.stringify(server.requests(marker).at(-1))).toContain("Echo: hello");
});
