import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readClientHello } from "./client-hello.ts";
import { realHello } from "./gateway.fixture.ts";

const vector = (lengthBytes: number, ...parts: (Buffer | number[])[]): Buffer => {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const length = Buffer.alloc(lengthBytes);
  length.writeUIntBE(body.length, 0, lengthBytes);
  return Buffer.concat([length, body]);
};

const serverName = (...names: string[]): Buffer =>
  Buffer.concat([
    Buffer.from([0, 0]),
    vector(2, vector(2, ...names.map((name) => Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name))])))),
  ]);

/** A ClientHello with these extensions, in records of so many bytes. */
const hello = (extensions: Buffer[] | null, recordBytes = 16_384): Buffer => {
  const body = Buffer.concat([
    Buffer.alloc(34, 3),
    vector(1, Buffer.alloc(32)),
    vector(2, [0x13, 0x01]),
    vector(1, [0]),
    ...(extensions ? [vector(2, ...extensions)] : []),
  ]);
  const message = Buffer.concat([Buffer.from([1]), vector(3, body)]);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += recordBytes) {
    records.push(Buffer.from([22, 3, 1]), vector(2, message.subarray(at, at + recordBytes)));
  }
  return Buffer.concat(records);
};

const ALPN = Buffer.concat([Buffer.from([0, 16]), vector(2, vector(2, vector(1, Buffer.from("h2"))))]);

describe("readClientHello", () => {
  it("reads the name out of a real client's, from its last byte on and not before", async () => {
    const bytes = await realHello("some.example");
    for (let length = 0; length < bytes.length; length += 1) {
      expect(readClientHello(bytes.subarray(0, length))).toEqual({ state: "incomplete" });
    }
    expect(readClientHello(bytes)).toEqual({ state: "complete", serverName: "some.example", encrypted: false });
  });

  it("reads it through any cut into records", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), (recordBytes) => {
        const bytes = hello([ALPN, serverName("a.example")], recordBytes);
        expect(readClientHello(bytes)).toEqual({ state: "complete", serverName: "a.example", encrypted: false });
        expect(readClientHello(Buffer.concat([bytes, Buffer.from([20, 3, 3, 0, 1, 1])]))).toMatchObject({ state: "complete" });
      }),
    );
  });

  it("says when there is none", () => {
    expect(readClientHello(hello([ALPN]))).toEqual({ state: "complete", serverName: null, encrypted: false });
    expect(readClientHello(hello(null))).toEqual({ state: "complete", serverName: null, encrypted: false });
  });

  it("says when another hello may be encrypted in it, whatever that looks like", () => {
    for (const bytes of [0, 1, 200]) {
      const extension = Buffer.concat([Buffer.from([0xfe, 0x0d]), vector(2, Buffer.alloc(bytes, 7))]);
      for (const extensions of [
        [extension, serverName("a.example")],
        [serverName("a.example"), extension],
      ]) {
        expect(readClientHello(hello(extensions))).toEqual({ state: "complete", serverName: "a.example", encrypted: true });
      }
    }
  });

  it.each([
    ["two names in one list", hello([serverName("a.example", "b.example")])],
    ["two lists of names", hello([serverName("a.example"), serverName("a.example")])],
    ["a zero byte in the name", hello([serverName("a.example\0.b.example")])],
    ["another message", Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0])],
    ["an alert", Buffer.from([21, 3, 1, 0, 2, 1, 0])],
    ["an empty record", Buffer.from([22, 3, 1, 0, 0])],
    ["a record that is too long", Buffer.from([22, 3, 1, 255, 255])],
    ["another protocol", Buffer.from("GET / HTTP/1.1\r\n")],
    ["no TLS version", Buffer.from([22, 2, 1, 0, 4])],
    ["lengths that lead out", Buffer.from([22, 3, 1, 0, 6, 1, 0, 0, 2, 3, 3])],
  ])("refuses %s", (_, bytes) => {
    expect(readClientHello(bytes)).toEqual({ state: "invalid" });
  });

  it("never throws, and never takes a changed hello for one with another valid name by accident of length", () => {
    const bytes = hello([ALPN, serverName("a.example")]);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
        const changed = Buffer.from(bytes);
        changed[at] = value;
        expect(["complete", "incomplete", "invalid"]).toContain(readClientHello(changed).state);
      }),
    );
    fc.assert(fc.property(fc.uint8Array(), (noise) => void readClientHello(Buffer.from(noise))));
  });
});
