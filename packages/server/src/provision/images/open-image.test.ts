import { createAddressGuard, createGuardedFetch, type GuardedFetch } from "@sandbox0/egress";
import { startTestRegistry, type TestRegistry } from "@sandbox0/sandbox/testing";
import { until } from "@sandbox0/testkit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createOpenImage } from "./open-image.ts";
import { createRegistryFetch } from "./registry-fetch.ts";

const WORKSPACE = "wrkspc_1";
const IMAGE = { layers: [[{ name: "usr/a", content: "lower" }], [{ name: "usr/b", content: "upper" }]] };
const architecture = process.arch === "x64" ? "amd64" : process.arch;
const none = {} as never;

let registry: TestRegistry;
let guarded: GuardedFetch;
beforeEach(async () => {
  registry = await startTestRegistry("team/image", IMAGE);
  guarded = createGuardedFetch(createAddressGuard({ allowPrivate: ["127.0.0.1"], forbidden: () => [] }));
});
afterEach(async () => {
  await guarded.close();
  await registry.close();
});

interface Settings {
  defaultRegistry?: string | null;
  plainHttp?: readonly string[];
  blockedHosts?: readonly string[];
  fetch?: GuardedFetch["fetch"];
  signal?: AbortSignal;
  answerMsMax?: number;
  /** What is refused; default: by its digest. */
  reference?: string;
}

async function pull(image: string, settings: Settings = {}): Promise<Buffer> {
  const { plainHttp = [registry.host, registry.storeHost], blockedHosts = [], defaultRegistry = null } = settings;
  const given = (settings.fetch ?? guarded.fetch) as typeof fetch;
  const open = createOpenImage({
    db: none,
    blobs: none,
    architecture,
    defaultRegistry,
    plainHttp,
    ...(settings.answerMsMax === undefined ? {} : { answerMsMax: settings.answerMsMax }),
    fetch: createRegistryFetch({ fetch: given, plainHttp, blockedHosts }),
  });
  const signal = settings.signal ?? new AbortController().signal;
  const chunks: Uint8Array[] = [];
  for await (const chunk of await open(WORKSPACE, image, { signal, onProgress: () => undefined })) chunks.push(chunk);
  return Buffer.concat(chunks);
}

test("by a tag: the image for this platform, with a token, which goes to nobody else", async () => {
  const archive = await pull(`${registry.host}/team/image`);
  const sent = [...registry.blobs].filter(([digest]) => digest !== registry.digest);
  for (const [digest, content] of sent) {
    expect(archive.includes(`blobs/${digest.replace(":", "/")}`)).toBe(true);
    expect(archive.includes(content)).toBe(true);
  }
  expect(archive.length % 512).toBe(0);
  const [first, token, ...rest] = registry.asked;
  expect(first).toBe("/v2/team/image/manifests/latest");
  expect(token).toBe("/token?service=test&scope=repository%3Ateam%2Fimage%3Apull");
  const [own, stored] = [rest.filter((path) => path.startsWith("/v2/")), rest.filter((path) => !path.startsWith("/v2/"))];
  expect(own.every((path) => path.endsWith(" with a token"))).toBe(true);
  expect(stored).toHaveLength(3);
  expect(stored.some((path) => path.endsWith(" with a token"))).toBe(false);
});

test("with another token where the first has run out", async () => {
  let isOut = true;
  registry.answer = (request) => {
    if (!isOut || request.headers.authorization === undefined || !request.url?.includes("/blobs/")) return false;
    isOut = false;
    // Asks for a token then.
    delete request.headers.authorization;
    return false;
  };
  expect((await pull(`${registry.host}/team/image`)).includes(registry.blobs.get(layer()) ?? "missing")).toBe(true);
  expect(registry.asked.filter((path) => path.startsWith("/token"))).toHaveLength(2);
  expect(isOut).toBe(false);
});

test("by a digest, and without a host where the operator says which is meant", async () => {
  expect((await pull(`${registry.host}/team/image@${registry.digest}`)).length).toBeGreaterThan(0);
  expect((await pull("team/image", { defaultRegistry: registry.host })).length).toBeGreaterThan(0);
  await expect(pull("team/image")).rejects.toThrow(/names no registry, and this server has no default one/);
  await expect(pull("image", { defaultRegistry: registry.host })).rejects.toThrow(/404 to manifests\/latest: manifest unknown/);
  expect(registry.asked.at(-1)).toContain("/v2/library/image/");
});

test.each<[string, (settings: Settings) => void, RegExp]>([
  ["another manifest than its digest says", () => change(registry.digest, "{}"), /the manifest sha256:[0-9a-f]+ is sha256:/],
  ["no manifest", () => change(registry.digest, "nothing"), /the manifest .* is/],
  ["fewer bytes than the manifest says", () => change(layer(), "short"), /has not the \d+ bytes that its manifest says/],
  ["more bytes than the manifest says", () => change(layer(), "x".repeat(100_000)), /has not the \d+ bytes/],
  ["an answer without end", () => change(registry.digest, "x".repeat(5 * 1024 ** 2)), /an answer has more than \d+ bytes/],
  ["a blob that is not there", () => void registry.blobs.delete(layer()), /it answers 404 to blobs\/sha256/],
  ["a connection that is cut", () => answerBlobs((response) => void response.destroy()), /cannot be reached|broke off/],
  [
    "a redirect to where nobody may go",
    () => answerBlobs((response) => void response.writeHead(302, { location: "http://169.254.169.254/latest" }).end()),
    /is not asked without https/,
  ],
  [
    "redirects without end",
    () => answerBlobs((response) => void response.writeHead(302, { location: "?again" }).end()),
    /redirects to nowhere, or too often/,
  ],
  [
    "a token from where nobody may go",
    () => {
      registry.answer = (_request, response) => {
        response.writeHead(401, { "www-authenticate": 'Bearer realm="https://169.254.169.254/token"' }).end();
        return true;
      };
    },
    /169[.]254[.]169[.]254/,
  ],
  [
    "a login that is wanted",
    () => answerAll((response) => void response.writeHead(401, { "www-authenticate": "Basic" }).end()),
    /answers 401/,
  ],
  ["a token that is none", () => answerToken("{}"), /gives no token/],
  ["a manifest that does not end", (settings) => stallAt(settings, "/manifests/"), /an answer does not end/],
  ["a token that does not end", (settings) => stallAt(settings, "/token"), /an answer does not end/],
  ["a reason that does not end", (settings) => stallAt(settings, "/blobs/", 500), /an answer does not end/],
  [
    "an index of platforms that are none",
    (settings) => {
      settings.reference = ":latest";
      answerAll((response) => void response.end('{"manifests":[{"platform":{"os":{"toString":1},"architecture":1}}]}'));
    },
    /it has no image for linux\/\w+, but for [?]\/[?]$/,
  ],
])("refused: %s", async (_name, prepare, message) => {
  const settings: Settings = {};
  prepare(settings);
  const reference = settings.reference ?? `@${registry.digest}`;
  await expect(pull(`${registry.host}/team/image${reference}`, settings)).rejects.toMatchObject({
    code: "image_unavailable",
    message: expect.stringMatching(message),
  });
});

test("without TLS only from the hosts that the operator names, and never from those that are shut", async () => {
  const image = `${registry.host}/team/image`;
  await expect(pull(image, { plainHttp: [] })).rejects.toThrow(/cannot be reached/);
  await expect(pull(image, { plainHttp: [registry.host] })).rejects.toThrow(/is not asked without https/);
  await expect(pull(image, { blockedHosts: ["127.0.0.1"] })).rejects.toThrow(/has blocked 127[.]0[.]0[.]1/);
  const strict = createGuardedFetch(createAddressGuard({ allowPrivate: [], forbidden: () => [] }));
  await expect(pull(image, { fetch: strict.fetch })).rejects.toThrow(/not an address on the public Internet/);
  await strict.close();
});

test("ends with who asked for it", async () => {
  const stop = new AbortController();
  registry.answer = () => true;
  const pulled = pull(`${registry.host}/team/image`, { signal: stop.signal });
  stop.abort();
  await expect(pulled).rejects.toThrow();
});

test("a blob that stalls lets go of its connection when nobody reads the image any more", async () => {
  const done = new AbortController();
  const cut = Promise.withResolvers<void>();
  answerBlobs((response) => {
    response.on("close", () => cut.resolve());
    response.writeHead(200).flushHeaders();
  });
  const pulled = pull(`${registry.host}/team/image`, { signal: done.signal }).catch((error: unknown) => error);
  await until(() => registry.asked.some((path) => path.includes("/blobs/")));
  done.abort();
  await cut.promise;
  expect(await pulled).toBeInstanceOf(Error);
});

function layer(): string {
  const found = [...registry.blobs].find(([, content]) => content.includes("ustar"));
  if (found === undefined) throw new Error("it has no layer");
  return found[0];
}
function change(digest: string, content: string): void {
  registry.blobs.set(digest, Buffer.from(content));
}
function stallAt(settings: Settings, path: string, status = 200): void {
  settings.answerMsMax = 2_000;
  registry.answer = (request, response) => {
    if (!request.url?.includes(path)) return false;
    if (!request.url.startsWith("/token") && request.headers.authorization === undefined) return false;
    response.writeHead(status).write("{");
    return true;
  };
}
function answerAll(answer: (response: Parameters<NonNullable<TestRegistry["answer"]>>[1]) => void): void {
  registry.answer = (_request, response) => {
    answer(response);
    return true;
  };
}
function answerBlobs(answer: (response: Parameters<NonNullable<TestRegistry["answer"]>>[1]) => void): void {
  registry.answer = (request, response) => {
    if (!request.url?.includes("/blobs/")) return false;
    answer(response);
    return true;
  };
}
function answerToken(content: string): void {
  registry.answer = (request, response) => {
    if (!request.url?.startsWith("/token")) return false;
    response.end(content);
    return true;
  };
}
