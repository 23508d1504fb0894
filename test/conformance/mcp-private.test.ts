import { createScriptedMcpServer, say } from "@sandbox0/testkit";
import { expect } from "vitest";
import { conformanceServer } from "./fixture/conformance-server.ts";
import { last, saidBy } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const server = conformanceServer();

verifies("mcp.private", "nothing is sent to a private address that the operator has not opened", async () => {
  const srv = await createScriptedMcpServer();
  try {
    for (const url of [
      srv.url,
      srv.url.replace("127.0.0.1", "localhost"),
      "http://169.254.169.254/mcp",
      "http://[::1]:8080/mcp",
    ]) {
      const agent = {
        mcp_servers: [{ type: "url" as const, name: "docs", url }],
        tools: [{ type: "mcp_toolset" as const, mcp_server_name: "docs" }],
      };
      const session = await server.start(agent, say("Without it."));
      const events = await session.rest();
      expect(last(events, "session.error").error).toMatchObject({
        type: "mcp_connection_failed_error",
        message: expect.stringContaining("SANDBOX0_EGRESS_ALLOW_PRIVATE"),
      });
      expect(saidBy(events)).toEqual(["Without it."]);
    }
    expect(srv.requests).toEqual([]);
  } finally {
    await srv.close();
  }
});
