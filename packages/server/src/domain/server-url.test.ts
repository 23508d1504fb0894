import { expect, test } from "vitest";
import { normalizeServerUrl } from "./server-url.ts";

test.each([
  ["HTTPS://MCP.Example.COM/Path", "https://mcp.example.com/Path"],
  ["https://mcp.example.com:443/Path/", "https://mcp.example.com/Path"],
  ["http://mcp.example.com:80", "http://mcp.example.com"],
  ["https://mcp.example.com/", "https://mcp.example.com"],
  ["https://mcp.example.com/a/?x=1#part", "https://mcp.example.com/a?x=1"],
  ["https://bücher.example/", "https://xn--bcher-kva.example"],
])("%s is %s", (text, normal) => {
  expect(normalizeServerUrl(text)).toBe(normal);
  expect(normalizeServerUrl(normal)).toBe(normal);
});

test.each([
  ["https://example.com/mcp", "https://example.com/MCP"],
  ["https://example.com/mcp", "https://a.example.com/mcp"],
  ["https://example.com/mcp", "https://example.com:8443/mcp"],
  ["https://example.com/mcp", "http://example.com/mcp"],
  ["https://example.com/mcp", "https://example.com/mcp/v2"],
  ["https://example.com/mcp", "https://example.com/mcp?tenant=2"],
])("%s is not %s", (one, other) => {
  expect(normalizeServerUrl(one)).not.toBe(normalizeServerUrl(other));
});
