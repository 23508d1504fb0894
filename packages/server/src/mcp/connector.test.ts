import { createScriptedMcpServer, type Misbehaviour, type SeenRequest, textResult, until } from "@sandbox0/testkit";
import { describe, expect, test } from "vitest";
import { bench, scripted, SESSION } from "./connector.fixture.ts";

const calm = () => new AbortController().signal;
const echo = { name: "echo", description: "Says it again.", inputSchema: { type: "object" as const, properties: { a: {} } } };

describe("connecting", () => {
  test("reads every page of the tool list, and calls a tool", async () => {
    const names = Array.from({ length: 25 }, (_, index) => `tool_${index}`);
    const server = await scripted({ tools: [...names.map((name) => ({ name })), echo], pageSize: 10 });
    const link = await bench().link(server);
    expect(link.tools.map(({ name }) => name)).toEqual([...names, "echo"]);
    expect(link.tools.at(-1)).toEqual({
      name: "echo",
      description: "Says it again.",
      inputSchema: { type: "object", properties: { a: {} } },
    });
    expect(await link.call("echo", { a: 1 }, calm())).toEqual({ content: [{ type: "text", text: '{"a":1}' }], isError: false });
  });

  test("falls back to SSE where there is no streamable HTTP", async () => {
    const server = await scripted({ transport: "sse", tools: [echo] });
    const link = await bench().link(server);
    expect(await link.call("echo", { a: 2 }, calm())).toMatchObject({ content: [{ text: '{"a":2}' }] });
  });

  test("is for one turn and a short while after: the next turn soon finds it open", async () => {
    const server = await scripted({ tools: [echo] });
    const { connector, link } = bench({ idleMs: 60_000 });
    await link(server);
    connector.release(SESSION.sessionId);
    await link(server);
    expect(server.requests.filter(({ rpcMethod }) => rpcMethod === "initialize")).toHaveLength(1);
    await connector.close(SESSION.sessionId);
    expect(connector.size()).toBe(0);
    await until(() => server.sessions === 0);
  });

  test("a session that waits has no connection", async () => {
    const server = await scripted({ tools: [echo] });
    const { connector, link } = bench({ idleMs: 10 });
    await link(server);
    connector.release(SESSION.sessionId);
    await until(() => connector.size() === 0 && server.sessions === 0);
  });

  test("a server that is not declared any more is left", async () => {
    const server = await scripted({ tools: [echo] });
    const { connector, link } = bench();
    await link(server);
    await connector.open(SESSION, [], calm());
    await until(() => server.sessions === 0);
  });

  test("a connector that stops in the middle leaves nothing open", async () => {
    const server = await scripted({ tools: [echo] });
    const { connector, link } = bench();
    const opening = link(server);
    await connector.stop();
    await opening;
    await until(() => server.sessions === 0);
    expect(connector.size()).toBe(0);
  });

  test.each([
    ["hangs", () => true],
    [
      "hangs when its tools are asked for, and when it is left",
      ({ rpcMethod, httpMethod }: SeenRequest) => rpcMethod === "tools/list" || httpMethod === "DELETE",
    ],
  ])("a stopped turn does not wait for a server that %s", async (_, hangs) => {
    const server = await scripted();
    server.misbehave((request) => (hangs(request) ? { type: "hang" } : null));
    const turn = new AbortController();
    const { connector, outage } = bench({ farewellMs: 3_600_000 });
    const opening = outage(server, turn.signal);
    await until(() => server.requests.some(hangs));
    turn.abort();
    await opening;
    expect(connector.size()).toBe(0);
  });
});

describe("a server that cannot be used is said so, in words of our own", () => {
  const SECRET = "canary-secret-token";
  const cases: [string, Misbehaviour | null, RegExp, "connection" | "authentication"][] = [
    ["hangs", { type: "hang" }, /did not answer within 1 seconds/, "connection"],
    ["cuts the connection", { type: "cut" }, /./, "connection"],
    ["sends a web page", { type: "html" }, /not MCP/, "connection"],
    ["sends half a message", { type: "broken_json" }, /not MCP/, "connection"],
    ["sends something else", { type: "not_mcp" }, /./, "connection"],
    ["sends 10 MB", { type: "huge", bytes: 10 * 1024 * 1024, as: "json" }, /more than 8 MiB/, "connection"],
    ["sends an event of 10 MB", { type: "huge", bytes: 10 * 1024 * 1024, as: "event" }, /more than 8 MiB/, "connection"],
    ["fails", { type: "status", status: 500, body: SECRET }, /HTTP 500/, "connection"],
    ["is not there", { type: "status", status: 404 }, /HTTP 404/, "connection"],
    ["denies", { type: "status", status: 403, body: SECRET }, /HTTP 403/, "authentication"],
    ["repeats what it was sent", { type: "echo_headers" }, /HTTP 400/, "connection"],
    ["does not know the token", { type: "status", status: 401 }, /refused the credential/, "authentication"],
  ];
  test.each(cases)("%s", async (_, how, message, kind) => {
    const server = await scripted({ tokens: [SECRET] });
    server.misbehave(() => how);
    const { vault, outage, connector } = bench({ connectMs: how?.type === "hang" ? 1_000 : 60_000 });
    vault.credential = { credentialId: "cred_1", token: SECRET, refreshable: false };
    const failure = await outage(server);
    expect(failure).toMatchObject({ kind, message: expect.stringMatching(message) });
    expect(`${failure.message} ${failure.stack}`).not.toContain(SECRET);
    expect(connector.size()).toBe(0);
  });

  test("refuses the connection", async () => {
    const server = await createScriptedMcpServer();
    const { url } = server;
    await server.close();
    expect((await bench().outage({ url })).message).toMatch(/refused/);
  });

  test("never ends its tool list", async () => {
    const server = await scripted({ tools: Array.from({ length: 70 }, (_, index) => ({ name: `t${index}` })), pageSize: 1 });
    expect((await bench().outage(server)).message).toMatch(/64 pages/);
  });

  test("redirects to another host: neither followed, nor is the token sent there", async () => {
    const elsewhere = await scripted({ tools: [echo] });
    const server = await scripted();
    server.misbehave(() => ({ type: "redirect", to: elsewhere.url }));
    const { vault, outage } = bench();
    vault.credential = { credentialId: "cred_1", token: SECRET, refreshable: false };
    expect((await outage(server)).message).toMatch(/redirects elsewhere/);
    expect(elsewhere.requests).toEqual([]);
  });
});

describe("calls", () => {
  test("progress keeps a call alive beyond the limit for silence", async () => {
    const silenceMs = 5_000;
    let widestMs = 0;
    const server = await scripted({
      tools: [
        {
          name: "slow",
          async run(_input, { progress }) {
            const startedMs = performance.now();
            let [done, lastMs] = [0, startedMs];
            await until(async () => {
              widestMs = Math.max(widestMs, performance.now() - lastMs);
              lastMs = performance.now();
              await progress(++done);
              return performance.now() - startedMs > silenceMs + 500;
            });
            return textResult("at last");
          },
        },
      ],
    });
    const link = await bench({ silenceMs }).link(server);
    for (let plays = 1; ; plays += 1) {
      widestMs = 0;
      const result = await link.call("slow", {}, calm()).catch((error: unknown) => ({ error }));
      // A machine that stood still for so long was silent: again.
      if ("error" in result && widestMs > silenceMs / 2 && plays < 5) continue;
      expect(result).toMatchObject({ content: [{ text: "at last" }] });
      break;
    }
  });

  test("a call that says nothing is given up, and the server is told", async () => {
    let cancelled = false;
    const server = await scripted({
      tools: [
        {
          name: "silent",
          run: (_input, { signal }) =>
            new Promise((resolve) => {
              signal.addEventListener("abort", () => {
                cancelled = true;
                resolve(textResult("too late"));
              });
            }),
        },
        echo,
      ],
    });
    const link = await bench({ silenceMs: 2_000 }).link(server);
    await expect(link.call("silent", {}, calm())).rejects.toThrow(/in time/);
    await until(() => cancelled);
    const echoed = await until(() =>
      // On a machine that stands still this one may be late as well.
      link.call("echo", { a: 1 }, calm()).catch((error: Error) => (/in time/.test(error.message) ? null : { isError: error })),
    );
    expect(echoed.isError).toBe(false);
  });

  test("an interrupt cancels what runs", async () => {
    let cancelled = false;
    const server = await scripted({
      tools: [
        {
          name: "long",
          run: (_input, { signal }) =>
            new Promise((resolve) => {
              signal.addEventListener("abort", () => {
                cancelled = true;
                resolve(textResult("too late"));
              });
            }),
        },
      ],
    });
    const turn = new AbortController();
    const calling = (await bench().link(server)).call("long", {}, turn.signal);
    await until(() => server.calls.length === 1);
    turn.abort();
    await expect(calling).rejects.toThrow();
    await until(() => cancelled);
  });

  test("a reply that is too large fails the call; the next one has a new connection", async () => {
    for (const as of ["json", "event"] as const) {
      const server = await scripted({ tools: [echo] });
      const link = await bench().link(server);
      server.misbehave(({ rpcMethod }) => (rpcMethod === "tools/call" ? { type: "huge", bytes: 10 * 1024 * 1024, as } : null));
      await expect(link.call("echo", {}, calm())).rejects.toThrow(/more than 8 MiB/);
      server.misbehave(null);
      expect(await link.call("echo", { a: 3 }, calm())).toMatchObject({ content: [{ text: '{"a":3}' }] });
    }
  });

  test("a connection that breaks in the middle of a call fails it at once, and it is not made again", async () => {
    const server = await scripted({ tools: [echo] });
    const link = await bench().link(server);
    server.misbehave(({ rpcMethod }) => (rpcMethod === "tools/call" ? { type: "cut" } : null));
    await expect(link.call("echo", {}, calm())).rejects.toThrow(/ended before it answered/);
    expect(server.requests.filter(({ rpcMethod }) => rpcMethod === "tools/call")).toHaveLength(1);
  });

  test("a server that has forgotten the session has not run the call: once more, in a new one", async () => {
    const server = await scripted({ tools: [echo] });
    const link = await bench().link(server);
    server.forgetSessions();
    expect(await link.call("echo", { a: 4 }, calm())).toMatchObject({ content: [{ text: '{"a":4}' }] });
    expect(server.calls).toHaveLength(1);
  });

  test("an SSE connection that broke is opened anew", async () => {
    const server = await scripted({ transport: "sse", tools: [echo] });
    const link = await bench().link(server);
    server.forgetSessions();
    await until(() =>
      link.call("echo", { a: 5 }, calm()).then(
        () => true,
        () => false,
      ),
    );
    expect(server.calls).toHaveLength(1);
  });

  test("what the server says is wrong with a call is for the model", async () => {
    const server = await scripted({ tools: [echo, { name: "bad", run: () => textResult("it failed", true) }] });
    const link = await bench().link(server);
    expect(await link.call("absent", {}, calm())).toMatchObject({
      isError: true,
      content: [{ text: expect.stringContaining("no tool is called absent") }],
    });
    expect(await link.call("bad", {}, calm())).toEqual({ content: [{ type: "text", text: "it failed" }], isError: true });
  });

  test("a list that changed is read again", async () => {
    const server = await scripted({ tools: [echo] });
    const link = await bench().link(server);
    // The notification comes on a stream of its own.
    await until(() => server.requests.some(({ httpMethod }) => httpMethod === "GET"));
    await server.setTools([echo, { name: "new" }]);
    await until(async () => {
      await link.refresh(calm());
      return link.tools.length === 2;
    });
    expect(link.tools.map(({ name }) => name)).toEqual(["echo", "new"]);
  });
});
