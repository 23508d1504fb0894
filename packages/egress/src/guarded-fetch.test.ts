import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Address } from "./address-facts.ts";
import { createAddressGuard } from "./address-guard.ts";
import { createGuardedFetch, type GuardedFetch, type GuardedFetchOptions } from "./guarded-fetch.ts";
import { createCertificateAuthority } from "./tls/certificate-authority.ts";

const LOOPBACK: readonly Address[] = [{ address: "127.0.0.1", family: 4 }];

interface Seen {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
}

let seen: Seen[];
let server: Server;
let port: number;
const fetches: GuardedFetch[] = [];

const guardedFetch = (allowPrivate: string[], options: GuardedFetchOptions = {}): GuardedFetch => {
  const resolve = async (name: string): Promise<readonly Address[]> =>
    name === "metadata.example" ? [{ address: "169.254.169.254", family: 4 }] : LOOPBACK;
  const guarded = createGuardedFetch(createAddressGuard({ allowPrivate, forbidden: () => [], resolve }), options);
  fetches.push(guarded);
  return guarded;
};

const listen = async (on: Server): Promise<number> => {
  await new Promise<void>((resolve) => on.listen(0, "127.0.0.1", resolve));
  return (on.address() as AddressInfo).port;
};

/** `/redirect?status=…&to=…` redirects; anything else says hello. */
beforeEach(async () => {
  seen = [];
  server = createServer((request, response) => {
    void text(request).then((body) => {
      seen.push({ method: request.method ?? "", url: request.url ?? "", headers: request.headers, body });
      const url = new URL(request.url ?? "", "http://here");
      if (url.pathname !== "/redirect") return response.end("hello");
      response.writeHead(Number(url.searchParams.get("status")), { location: url.searchParams.get("to") ?? "" }).end();
    });
  });
  port = await listen(server);
});

afterEach(async () => {
  await Promise.all(fetches.splice(0).map((each) => each.close()));
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const redirect = (status: number, to: string): string =>
  `http://a.example:${port}/redirect?status=${status}&to=${encodeURIComponent(to)}`;

describe("guarded fetch", () => {
  it("reaches what the operator has opened, and nothing private without", async () => {
    const response = await guardedFetch(["127.0.0.1"]).fetch(`http://a.example:${port}/x`);
    expect(await response.text()).toBe("hello");
    for (const host of ["a.example", "127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "localhost"]) {
      await expect(guardedFetch([]).fetch(`http://${host}:${port}/`), host).rejects.toMatchObject({
        reason: "address_not_public",
      });
    }
    expect(seen).toHaveLength(1);
  });

  it("checks each redirect like the first request", async () => {
    const checked: string[] = [];
    const { fetch } = guardedFetch(["127.0.0.1"], { checkUrl: (url) => void checked.push(url.hostname) });
    await expect(fetch(redirect(302, "http://metadata.example/latest"))).rejects.toMatchObject({ reason: "address_not_public" });
    await expect(fetch(redirect(302, "http://169.254.169.254/latest"))).rejects.toMatchObject({ reason: "address_not_public" });
    await expect(fetch(redirect(302, "file:///etc/passwd"))).rejects.toMatchObject({ reason: "scheme_not_allowed" });
    expect(checked).toEqual(["a.example", "metadata.example", "a.example", "169.254.169.254", "a.example"]);
  });

  it("ends with what the caller's check throws", async () => {
    const { fetch } = guardedFetch(["127.0.0.1"], {
      checkUrl: (url) => {
        if (url.hostname === "b.example") throw new RangeError("not this one");
      },
    });
    await expect(fetch(redirect(307, `http://b.example:${port}/`))).rejects.toThrow("not this one");
    expect(seen).toHaveLength(1);
  });

  it("gives credentials to no other origin, and becomes GET as browsers do", async () => {
    const { fetch } = guardedFetch(["127.0.0.1"]);
    const init = { method: "POST", body: "{}", headers: { authorization: "Bearer s", "content-type": "application/json" } };
    await (await fetch(redirect(303, `http://b.example:${port}/next`), init)).text();
    expect(seen[1]).toMatchObject({ method: "GET", url: "/next", body: "" });
    expect(seen[1]?.headers).not.toHaveProperty("authorization");
    expect(seen[1]?.headers).not.toHaveProperty("content-type");
    await (await fetch(redirect(307, "/same"), init)).text();
    expect(seen[3]).toMatchObject({ method: "POST", url: "/same", body: "{}", headers: { authorization: "Bearer s" } });
  });

  it("follows only so many redirects, or none", async () => {
    const { fetch } = guardedFetch(["127.0.0.1"], { redirectsMax: 2 });
    const round = `http://a.example:${port}/redirect?status=302&to=${encodeURIComponent("?status=302&to=%3F")}`;
    await expect(fetch(redirect(302, redirect(302, redirect(302, round))))).rejects.toMatchObject({
      reason: "too_many_redirects",
    });
    expect(seen).toHaveLength(3);
    await expect(fetch(round, { redirect: "error" })).rejects.toMatchObject({ reason: "redirected" });
    expect((await fetch(round, { redirect: "manual" })).status).toBe(302);
  });

  it("is ended by the caller's signal while it waits", async () => {
    server.removeAllListeners("request");
    const abort = new AbortController();
    server.once("request", () => abort.abort());
    await expect(guardedFetch(["127.0.0.1"]).fetch(`http://a.example:${port}/`, { signal: abort.signal })).rejects.toMatchObject({
      name: "AbortError",
    });
  });

  it("checks certificates against the name that was asked for", async () => {
    const dir = await mkdtemp(join(tmpdir(), "egress-"));
    const ca = await createCertificateAuthority({ dir });
    const { cert, key } = await ca.leafFor("a.example");
    const tls = createTlsServer({ cert, key }, (_, response) => void response.end("over TLS"));
    const tlsPort = await listen(tls);
    try {
      const { fetch } = guardedFetch(["127.0.0.1"], { extraCas: [ca.certificatePem] });
      expect(await (await fetch(`https://a.example:${tlsPort}/`)).text()).toBe("over TLS");
      await expect(fetch(`https://b.example:${tlsPort}/`)).rejects.toThrow();
      await expect(guardedFetch(["127.0.0.1"]).fetch(`https://a.example:${tlsPort}/`)).rejects.toThrow();
    } finally {
      tls.closeAllConnections();
      tls.close();
      await rm(dir, { recursive: true });
    }
  });
});
