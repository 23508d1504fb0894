import { createModernMcpServer, type ScriptedTool, textResult, until } from "@sandbox0/testkit";
import { afterEach, expect, test } from "vitest";
import { bench } from "./connector.fixture.ts";

const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});
async function modern(...tools: ScriptedTool[]) {
  const server = await createModernMcpServer(tools);
  cleanups.push(() => server.close());
  return server;
}
const calm = () => new AbortController().signal;

test("a server of revision 2026-07-28, without sessions: tools, calls, and a list that changes", async () => {
  const server = await modern({ name: "echo" });
  const link = await bench().link(server);
  expect(link.tools.map(({ name }) => name)).toEqual(["echo"]);
  expect(await link.call("echo", { a: 1 }, calm())).toEqual({ content: [{ type: "text", text: '{"a":1}' }], isError: false });
  server.setTools([{ name: "echo" }, { name: "new" }]);
  await until(async () => {
    await link.refresh(calm());
    return link.tools.length === 2;
  });
});

test("an interrupt ends a call there too", async () => {
  let cancelled = false;
  const server = await modern({
    name: "long",
    run: (_input, { signal }) =>
      new Promise((resolve) => {
        signal.addEventListener("abort", () => {
          cancelled = true;
          resolve(textResult("too late"));
        });
      }),
  });
  const turn = new AbortController();
  const calling = (await bench().link(server)).call("long", {}, turn.signal);
  await until(() => server.calls.length === 1);
  turn.abort();
  await expect(calling).rejects.toThrow();
  await until(() => cancelled);
});
