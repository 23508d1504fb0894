import { once } from "node:events";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { createBraveSearch } from "./brave.ts";
import { SEARCH_BYTES_MAX } from "./get-json.ts";
import type { SearchProvider, SearchQuery } from "./provider.ts";
import { createSearxngSearch } from "./searxng.ts";
import { createTavilySearch } from "./tavily.ts";

const KEY = "sk-search-secret";
interface Came {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}
let came: Came[] = [];
/** What the fake service answers, one after the other; the last one stays. */
let answers: { status: number; body: string; headers?: Record<string, string> }[] = [];
const server = createServer((request, response) => {
  let body = "";
  request.on("data", (chunk) => {
    body += chunk;
  });
  request.on("end", () => {
    came.push({ path: `${request.method} ${request.url}`, headers: request.headers, body });
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    response.writeHead(answer?.status ?? 500, answer?.headers).end(answer?.body);
  });
});
let brave: SearchProvider;
let tavily: SearchProvider;
let searxng: SearchProvider;
beforeAll(async () => {
  await once(server.listen(0, "127.0.0.1"), "listening");
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  brave = createBraveSearch({ baseUrl, key: KEY, fetch });
  tavily = createTavilySearch({ baseUrl, key: KEY, fetch });
  searxng = createSearxngSearch({ baseUrl, fetch });
});
beforeEach(() => {
  came = [];
});
afterAll(() => server.close());

const json = (body: unknown) => [{ status: 200, body: JSON.stringify(body) }];
const query = (more: Partial<SearchQuery> = {}): SearchQuery => ({
  query: "node streams",
  count: 20,
  location: null,
  sites: [],
  excludedSites: [],
  signal: new AbortController().signal,
  ...more,
});
const BERLIN = { city: "Zürich", region: "Zürich", country: "CH", timezone: "Europe/Zurich" };
const hit = { url: "https://e.com/a", title: "A", text: "about <strong>it</strong>" };

test("Brave: its header, the query with its sites, where the user is", async () => {
  answers = json({ web: { results: [{ url: hit.url, title: hit.title, description: hit.text }] } });
  expect(await brave.search(query({ sites: ["a.com", "b.com"], excludedSites: ["c.com"], location: BERLIN }))).toEqual([hit]);
  const [request] = came;
  const url = new URL(`http://x${request?.path.replace("GET ", "")}`);
  expect(url.pathname).toBe("/res/v1/web/search");
  expect(url.searchParams.get("q")).toBe("node streams (site:a.com OR site:b.com) -site:c.com");
  expect(request?.headers).toMatchObject({
    "x-subscription-token": KEY,
    "x-loc-country": "CH",
    "x-loc-city": "Zurich",
    "x-loc-timezone": "Europe/Zurich",
  });
});

test("Tavily: a bearer key, domains as fields, a country by its name", async () => {
  answers = json({ results: [{ url: hit.url, title: hit.title, content: hit.text, score: 1 }] });
  const asked = query({ sites: ["a.com"], excludedSites: ["c.com"], location: BERLIN });
  expect(await tavily.search(asked)).toEqual([hit]);
  expect(came[0]).toMatchObject({ path: "POST /search", headers: { authorization: `Bearer ${KEY}` } });
  expect(JSON.parse(came[0]?.body ?? "")).toEqual({
    query: "node streams",
    max_results: 20,
    include_domains: ["a.com"],
    exclude_domains: ["c.com"],
    country: "switzerland",
  });
});

test("Tavily: a country that it does not know is left out", async () => {
  answers = [{ status: 400, body: "{}" }, ...json({ results: [] })];
  expect(await tavily.search(query({ location: { country: "VA" } }))).toEqual([]);
  expect(came.map((request) => "country" in JSON.parse(request.body))).toEqual([true, false]);
});

test("SearXNG: its JSON form, a language of the country", async () => {
  answers = json({ results: [{ url: hit.url, title: hit.title, content: hit.text }] });
  expect(await searxng.search(query({ location: { country: "DE" } }))).toEqual([hit]);
  expect(came[0]?.path).toBe("GET /search?q=node+streams&format=json&language=de-DE");
});

test.each([
  ["a rejected key", { status: 401, body: `bad ${KEY}` }, /answered 401: the key is not accepted/],
  ["a rate limit", { status: 429, body: "" }, /answered 429: its rate limit is reached/],
  ["a redirect", { status: 302, body: "", headers: { location: "http://127.0.0.1:1/" } }, /answered 302/],
  ["no JSON", { status: 200, body: `<html>${KEY}` }, /not JSON/],
  ["too much", { status: 200, body: "x".repeat(SEARCH_BYTES_MAX + 1) }, /more than/],
])("%s is a failure in our own words, without the key", async (_, answer, message) => {
  answers = [answer];
  for (const provider of [brave, tavily]) {
    const failure = await provider.search(query()).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "search_failed", message: expect.stringMatching(message) });
    expect(String(failure)).not.toContain(KEY);
  }
  expect(came).toHaveLength(2);
});

test("answers of another shape have no results", async () => {
  for (const body of [{}, { web: null }, { web: { results: "x" } }, [], { results: [null, 1, { url: 2 }] }]) {
    answers = json(body);
    for (const provider of [brave, tavily, searxng]) expect(await provider.search(query())).toEqual([]);
  }
});

test("a service that is not there is said so", async () => {
  const gone = createSearxngSearch({ baseUrl: "http://127.0.0.1:1", fetch });
  await expect(gone.search(query())).rejects.toThrow("could not be reached");
});
