import { createSocket, type Socket } from "node:dgram";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createResolver, type Resolve } from "./resolver.ts";

const TYPE_A = 1;
const TYPE_AAAA = 28;
const HEADER_BYTES = 12;

let server: Socket;
let asked: string[];
/** By `name type`. */
let records: Map<string, Buffer>;
let dir: string;
let resolve: Resolve;

/** A name server that knows `records`, and says of other names that they do not exist. */
beforeEach(async () => {
  asked = [];
  records = new Map();
  server = createSocket("udp4", (query, from) => {
    const labels: string[] = [];
    let at = HEADER_BYTES;
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.subarray(at + 1, at + 1 + length).toString());
      at += 1 + length;
    }
    const question = query.subarray(HEADER_BYTES, at + 5);
    const type = query.readUInt16BE(at + 1);
    const name = labels.join(".");
    asked.push(`${name} ${type}`);
    const data = records.get(`${name} ${type}`);
    const exists = [TYPE_A, TYPE_AAAA].some((each) => records.has(`${name} ${each}`));
    const head = Buffer.from([...query.subarray(0, 2), 0x81, exists ? 0x80 : 0x83, 0, 1, 0, data ? 1 : 0, 0, 0, 0, 0]);
    const answer = data ? [Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, data.length]), data] : [];
    server.send(Buffer.concat([head, question, ...answer]), from.port, from.address);
  });
  await new Promise<void>((done) => server.bind(0, "127.0.0.1", done));
  dir = await mkdtemp(join(tmpdir(), "resolver-"));
  await writeFile(
    join(dir, "hosts"),
    "# ours\n10.1.1.1 Written.example other # comment\nfd00::1 written.example\nnot-an-address x\n",
  );
  resolve = createResolver({ servers: [`127.0.0.1:${server.address().port}`], hostsFile: join(dir, "hosts") });
});

afterEach(async () => {
  server.close();
  await rm(dir, { recursive: true });
});

describe("the resolver", () => {
  it("finds the addresses of both families, and asks once in a burst", async () => {
    records.set("both.example 1", Buffer.from([192, 0, 2, 7]));
    records.set("both.example 28", Buffer.from("20010db8000000000000000000000001", "hex"));
    const found = await Promise.all([resolve("both.example"), resolve("both.example"), resolve("both.example")]);
    for (const addresses of found) {
      expect(addresses).toEqual([
        { address: "2001:db8::1", family: 6 },
        { address: "192.0.2.7", family: 4 },
      ]);
    }
    expect(asked.toSorted()).toEqual(["both.example 1", "both.example 28"]);
  });

  it("is content with one family", async () => {
    records.set("four.example 1", Buffer.from([192, 0, 2, 8]));
    expect(await resolve("four.example")).toEqual([{ address: "192.0.2.8", family: 4 }]);
  });

  it("asks for the name as it is, with no search domain, and again after a failure", async () => {
    await expect(resolve("missing")).rejects.toMatchObject({ code: "ENOTFOUND" });
    expect(new Set(asked)).toEqual(new Set(["missing 1", "missing 28"]));
    records.set("missing 1", Buffer.from([192, 0, 2, 9]));
    expect(await resolve("missing")).toEqual([{ address: "192.0.2.9", family: 4 }]);
  });

  it("believes the hosts file first", async () => {
    expect(await resolve("written.example")).toEqual([
      { address: "10.1.1.1", family: 4 },
      { address: "fd00::1", family: 6 },
    ]);
    expect(await resolve("other")).toEqual([{ address: "10.1.1.1", family: 4 }]);
    expect(asked).toEqual([]);
  });

  it("does without a hosts file", async () => {
    records.set("four.example 1", Buffer.from([192, 0, 2, 8]));
    const without = createResolver({ servers: [`127.0.0.1:${server.address().port}`], hostsFile: join(dir, "none") });
    expect(await without("four.example")).toHaveLength(1);
  });
});
