import { beforeAll, describe, expect, test } from "vitest";
import { attackFixture, requestsIn } from "./stage/attack-fixture.ts";
import type { Attack } from "./stage/hostile-client.ts";
import type { HostileSession } from "./stage/hostile-session.ts";
import { connectTls, connectTo, get, plainGet, sayRaw } from "./stage/http-words.ts";
import { ALLOWED_HOSTS, ZONE } from "./stage/zones.ts";

const fixture = attackFixture(ZONE);
let limited: HostileSession;

beforeAll(async () => {
  limited = await fixture.session({ networking: { type: "limited", allowed_hosts: ALLOWED_HOSTS } });
});

/** A path that only the part of a message asks for that is not meant to be a request. */
const HIDDEN = "/hidden";
const hidden = (host: string): string => `GET ${HIDDEN} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
const post = (...headers: string[]): string =>
  ["POST http://example.com/ HTTP/1.1", "Host: example.com", ...headers, "", ""].join("\r\n");

/** Whatever is made of it: no site has seen a request for another host, nor one that is hidden in another. */
async function expectNoOther(attack: Attack): Promise<void> {
  const { outcome, reached } = await fixture.try(limited, attack);
  expect(outcome.error).not.toBe("ECONNREFUSED");
  const requests = requestsIn(reached);
  expect(requests.filter(({ host, sni }) => host !== "example.com" || (sni !== null && sni !== "example.com"))).toEqual([]);
  expect(requests.filter(({ url }) => url.includes(HIDDEN))).toEqual([]);
  expect(reached.filter((each) => each.kind === "dns" && !each.name.endsWith("example.com"))).toEqual([]);
}

test("requests that are what they say go through", async () => {
  const body = "GET http://evil.io/ HTTP/1.1";
  const request = `${post(`Content-Length: ${body.length}`, "Connection: close")}${body}`;
  expect(await fixture.expectServed(limited, sayRaw(request))).toMatchObject({ host: "example.com", body });
  const chunked = `${post("Transfer-Encoding: chunked", "Connection: close")}5\r\nhello\r\n0\r\n\r\n`;
  expect(await fixture.expectServed(limited, sayRaw(chunked))).toMatchObject({ host: "example.com", body: "hello" });
});

describe("a tunnel whose TLS asks for another host", () => {
  test.each<[string, string | null]>([
    ["another", "evil.io"],
    ["one with the allowed one as its beginning", "example.com.evil.io"],
    ["another allowed one", "a.wild.example"],
    ["none", null],
  ])("%s", async (_name, sni) => {
    const { outcome, reached } = await fixture.try(limited, connectTls("example.com:443", sni, sni ?? "evil.io"));
    expect(requestsIn(reached)).toEqual([]);
    expect(outcome.answers.join()).not.toContain("reached");
  });

  test("bytes that are no TLS at all, to the port of TLS", async () => {
    await expectNoOther(connectTo("example.com:443", get(HIDDEN, "evil.io")));
    await expectNoOther(connectTo("example.com:443", "SSH-2.0-OpenSSH_9.6\r\n"));
    await expectNoOther(connectTo("example.com:443", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
  });

  test("a second hello behind the first one's record", async () => {
    // A record of one byte, then silence: an answer that waits for the rest must end by itself.
    const { reached } = await fixture.try(limited, connectTo("example.com:443", "\x16\x03\x01\x00\x01\x01"));
    expect(requestsIn(reached)).toEqual([]);
  });
});

describe("a request that names two hosts", () => {
  test.each<[string, Attack]>([
    ["in a tunnel to the plain port", connectTo("example.com:80", get(HIDDEN, "evil.io"))],
    ["in absolute form in such a tunnel", connectTo("example.com:80", get(`http://evil.io${HIDDEN}`, "example.com"))],
    ["CONNECT inside of a tunnel", connectTo("example.com:80", "CONNECT evil.io:443 HTTP/1.1\r\nHost: evil.io\r\n\r\n")],
    [
      "CONNECT with another Host",
      sayRaw("CONNECT evil.io:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", get(HIDDEN, "evil.io")),
    ],
    ["absolute form of another", plainGet(`http://evil.io${HIDDEN}`, "example.com")],
    ["origin form", sayRaw(get(HIDDEN, "evil.io"))],
    ["two Host headers", sayRaw(`GET http://example.com${HIDDEN} HTTP/1.1\r\nHost: example.com\r\nHost: evil.io\r\n\r\n`)],
    ["a folded Host header", sayRaw(`GET http://example.com${HIDDEN} HTTP/1.1\r\nHost: example.com\r\n evil.io\r\n\r\n`)],
    ["another scheme", sayRaw(`GET ftp://evil.io${HIDDEN} HTTP/1.1\r\nHost: example.com\r\n\r\n`)],
    ["https in absolute form", sayRaw(`GET https://evil.io${HIDDEN} HTTP/1.1\r\nHost: example.com\r\n\r\n`)],
    ["a network-path reference", sayRaw(`GET //evil.io${HIDDEN} HTTP/1.1\r\nHost: example.com\r\n\r\n`)],
  ])("%s", (_name, attack) => expectNoOther(attack));

  test("a plain request with another Host gets the one of its URL", async () => {
    const { reached } = await fixture.try(limited, plainGet("http://example.com/", "evil.io"));
    expect(requestsIn(reached).filter(({ host }) => host !== "example.com")).toEqual([]);
  });

  test("CR, LF and spaces in the target", async () => {
    for (const target of [
      "example.com:443 HTTP/1.1\r\nX: y\r\n\r\nCONNECT evil.io:443",
      "example.com\r\n.evil.io:443",
      "example.com:443\nHost: evil.io",
      "example.com :443",
      "evil.io:443 example.com:443",
    ]) {
      await expectNoOther(sayRaw(`CONNECT ${target} HTTP/1.1\r\nHost: example.com\r\n\r\n`, get(HIDDEN, "evil.io")));
    }
  });
});

describe("messages that are read in two ways", () => {
  const evil = hidden("evil.io");
  const same = hidden("example.com");
  const length = `Content-Length: ${same.length}`;
  test.each<[string, string]>([
    ["a length and chunks", `${post("Content-Length: 4", "Transfer-Encoding: chunked")}0\r\n\r\n${same}`],
    ["chunks and a length", `${post("Transfer-Encoding: chunked", "Content-Length: 4")}0\r\n\r\n${same}`],
    ["two lengths", `${post("Content-Length: 0", length)}${same}`],
    ["two lengths in one", `${post(`Content-Length: 0, ${same.length}`)}${same}`],
    ["a length with a sign", `${post(`Content-Length: +${same.length}`)}${same}`],
    ["a length below zero", `${post("Content-Length: -1")}${same}`],
    ["a length in hexadecimal", `${post("Content-Length: 0x10")}${same}`],
    ["a space before the colon", `${post(`Content-Length : ${same.length}`)}${same}`],
    ["chunks, nearly", `${post("Transfer-Encoding: xchunked")}0\r\n\r\n${same}`],
    ["chunks twice", `${post("Transfer-Encoding: chunked", "Transfer-Encoding: identity")}0\r\n\r\n${same}`],
    ["chunks, tabbed", `${post("Transfer-Encoding:\x0bchunked", "Content-Length: 0")}0\r\n\r\n${same}`],
    ["chunks, folded", `${post("Transfer-Encoding:\r\n chunked", "Content-Length: 0")}0\r\n\r\n${same}`],
    ["a chunk's length too long", `${post("Transfer-Encoding: chunked")}FFFFFFFFFFFFFFFFF1\r\n${same}`],
    ["a chunk's extension with a line end", `${post("Transfer-Encoding: chunked")}0;x=\n${same}\r\n\r\n`],
    ["chunks that end in LF", `${post("Transfer-Encoding: chunked")}0\n\n${same}`],
    ["lines that end in LF", `POST http://example.com/ HTTP/1.1\nHost: example.com\nContent-Length: 0\n\n${evil}`],
    ["a bare CR in a header", `${post("X: y\rTransfer-Encoding: chunked", length)}${same}`],
    ["a NUL in a header", `${post("X: y\0z")}${evil}`],
    [
      "HTTP/1.0 with chunks",
      `POST http://example.com/ HTTP/1.0\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${evil}`,
    ],
    ["no version", `GET http://example.com/\r\n${evil}`],
    ["a version of its own", `GET http://example.com/ HTTP/9.9\r\nHost: example.com\r\n\r\n${evil}`],
    ["an upgrade", `${post("Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")}${evil}`],
    ["a header list without end", `GET http://example.com/ HTTP/1.1\r\n${"X: y\r\n".repeat(5_000)}\r\n`],
  ])("%s", (_name, message) => expectNoOther(sayRaw(message)));

  test("a second request behind the first, for another host", async () => {
    const first = "GET http://example.com/first HTTP/1.1\r\nHost: example.com\r\n\r\n";
    await expectNoOther(sayRaw(`${first}GET http://evil.io${HIDDEN} HTTP/1.1\r\nHost: evil.io\r\n\r\n`));
    await expectNoOther(sayRaw(first, `GET http://evil.io${HIDDEN} HTTP/1.1\r\nHost: evil.io\r\n\r\n`));
    await expectNoOther(sayRaw(first, `CONNECT evil.io:443 HTTP/1.1\r\nHost: evil.io\r\n\r\n`, get(HIDDEN, "evil.io")));
    await expectNoOther(sayRaw(first, hidden("evil.io")));
  });

  test("headers that are between the sandbox and the gateway go no further", async () => {
    const request = await fixture.expectServed(
      limited,
      sayRaw(
        "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\nProxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\n" +
          "Connection: close, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\nKeep-Alive: timeout=5\r\n\r\n",
      ),
    );
    for (const name of ["proxy-authorization", "proxy-connection", "x-hop", "keep-alive"])
      expect(request.headers).not.toHaveProperty(name);
  });
});

test("the gateway goes on after all this", async () => {
  await fixture.expectServed(limited, connectTls("example.com:443", "example.com", "example.com"));
});
