import { readFileSync } from "node:fs";
import Anthropic from "@anthropic-ai/sdk";
import type { OpenApiDocument } from "@sandbox0/protocol/openapi";
import { say } from "@sandbox0/testkit";
import { expect, test } from "vitest";
import { API_KEY, conformanceServer } from "../conformance/fixture/conformance-server.ts";
import { refused } from "../conformance/fixture/refused.ts";
import { walkApi } from "./api-walk.ts";
import { type Exchange, OpenApiChecker } from "./openapi-checker.ts";

const server = conformanceServer({ SANDBOX0_UPLOADS_DOWNLOADABLE: "true" });

async function readDocument(): Promise<OpenApiDocument> {
  return (await (await fetch(`${server.url}/openapi.json`)).json()) as OpenApiDocument;
}

/** An SDK whose every request and answer is compared with the document. */
function checkedClient(checker: OpenApiChecker, problems: string[]): Anthropic {
  const checkingFetch: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    const { body } = init ?? {};
    const exchange: Omit<Exchange, "body"> = {
      method: init?.method?.toUpperCase() ?? "GET",
      url: String(input),
      requestBody: typeof body === "string" ? body : undefined,
      status: response.status,
      headers: response.headers,
    };
    if (exchange.url.startsWith("data:")) return response;
    const isJson = response.headers.get("content-type")?.startsWith("application/json") === true;
    problems.push(...checker.check({ ...exchange, body: isJson ? await response.clone().json() : undefined }));
    return response.headers.get("content-type") === "text/event-stream" ? checkedStream(response, checker, problems) : response;
  };
  return new Anthropic({ baseURL: server.url, apiKey: API_KEY, maxRetries: 0, fetch: checkingFetch });
}

function checkedStream(response: Response, checker: OpenApiChecker, problems: string[]): Response {
  let rest = "";
  const decoder = new TextDecoder();
  const watch = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      rest += decoder.decode(chunk, { stream: true });
      const lines = rest.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines.filter((each) => each.startsWith("data: "))) {
        const event = JSON.parse(line.slice("data: ".length)) as { type: string };
        if (event.type !== "ping") problems.push(...checker.checkComponent("StreamEvent", event));
      }
      controller.enqueue(chunk);
    },
  });
  return new Response(response.body?.pipeThrough(watch) ?? null, response);
}

test("every operation takes what the document says, and answers what it says", async () => {
  const document = await readDocument();
  const checker = new OpenApiChecker(document);
  const problems: string[] = [];
  const client = checkedClient(checker, problems);
  const agent = await client.beta.agents.create({
    name: "w",
    model: "claude-sonnet-5-5",
    tools: [{ type: "agent_toolset_20260401" }],
  });
  const text = server.play(say("Well."), say("Well."));
  await walkApi({ client, agentId: agent.id, environmentId: server.environmentId, text });
  expect(problems).toEqual([]);
  const described = Object.values(document.paths)
    .flatMap((operations) => Object.values(operations))
    .filter((operation) => "200" in operation.responses)
    .map(({ operationId }) => operationId);
  // Texts for people and scrapers: the SDK does not ask for them.
  const apart = ["system.metrics", "system.llms"];
  expect(described.filter((id) => !checker.seen.has(id) && !apart.includes(id))).toEqual([]);
});

test("what is refused is refused as the document says", async () => {
  const checker = new OpenApiChecker(await readDocument());
  const problems: string[] = [];
  const client = checkedClient(checker, problems);
  const statuses: number[] = [];
  for (const call of [
    () => client.beta.agents.create({ name: "", model: "m" }),
    () => client.beta.agents.retrieve("agent_01none"),
    () => client.beta.sessions.retrieve("sesn_01none"),
    () => client.withOptions({ apiKey: "wrong" }).beta.agents.list(),
    () => client.beta.agents.list({ workspace_id: "wrkspc_01other" } as object),
    () => client.beta.deployments.list(),
    () => client.beta.dreams.cancel("drm_01x"),
    () => client.beta.environments.work.poll(server.environmentId),
  ])
    statuses.push((await refused(call())).status);
  expect(statuses.slice(0, 4)).toEqual([400, 404, 404, 401]);
  expect(statuses.slice(-3)).toEqual([501, 501, 501]);
  expect(problems).toEqual([]);
});

test("what the documents say of operations that are not built is what the document of the API says", async () => {
  const { paths } = await readDocument();
  const official = Object.entries(paths)
    .filter(([path]) => path.startsWith("/v1/"))
    .flatMap(([, operations]) => Object.entries(operations))
    .filter(([method]) => method !== "patch")
    .map(([, operation]) => operation);
  const unbuilt = official.filter((operation) => "x-sandbox0-not-built" in operation).map(({ operationId }) => operationId);
  const migration = readFileSync("docs/migration.md", "utf8");
  const table = migration.slice(migration.indexOf("## What is not there"), migration.indexOf("## What differs"));
  const named = [...table.matchAll(/`([a-z]\w*(?:\.\w+)*\.(?:\*|\w+))`/gi)]
    .map(([, name = ""]) => name)
    .filter((name) => !name.startsWith("user."));
  const covers = (name: string, id: string): boolean => name === id || (name.endsWith("*") && id.startsWith(name.slice(0, -1)));
  expect(unbuilt.filter((id) => !named.some((name) => covers(name, id)))).toEqual([]);
  const built = official.map(({ operationId }) => operationId).filter((id) => !unbuilt.includes(id));
  expect(built.filter((id) => named.some((name) => covers(name, id)))).toEqual([]);
  expect(readFileSync("docs/llms.txt", "utf8")).toContain(`the API's ${official.length} operations, ${built.length} are built`);
  expect(readFileSync("README.md", "utf8")).toContain(`${built.length} of the API's ${official.length} operations`);
});

test("the comparison finds what is wrong", async () => {
  const checker = new OpenApiChecker(await readDocument());
  const headers = new Headers({ "content-type": "application/json", "request-id": "req_1", "anthropic-workspace-id": "w" });
  const exchange = { method: "GET", url: `${server.url}/v1/vaults/vlt_01x`, requestBody: undefined, status: 200, headers };
  const vault = {
    id: "vlt_01x",
    type: "vault",
    display_name: "n",
    metadata: {},
    created_at: "t",
    updated_at: "t",
    archived_at: null,
  };
  expect(checker.check({ ...exchange, body: vault })).toEqual([]);
  const { display_name: _name, ...nameless } = vault;
  expect(checker.check({ ...exchange, body: nameless })[0]).toContain("display_name");
  expect(checker.check({ ...exchange, body: { ...vault, metadata: { a: 1 } } })).toHaveLength(1);
  expect(checker.check({ ...exchange, body: vault, headers: new Headers() }).length).toBeGreaterThan(1);
  expect(checker.check({ ...exchange, body: vault, status: 202 })[0]).toContain("status");
  expect(checker.check({ ...exchange, url: `${exchange.url}?depth=1`, body: vault })[0]).toContain("depth");
  expect(checker.check({ ...exchange, url: `${server.url}/v1/nothing`, body: {} })[0]).toContain("not described");
});
