import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { isIPv4, isIPv6 } from "node:net";
import { type Answer, decode, encode, type Packet, streamDecode, streamEncode } from "dns-packet";
import type { Answers, Reached, Zone } from "./records.ts";

const DNS_PORT = 53;
/** Rebinding works on those who ask again soon. */
const TTL_SECONDS = 0;
const CNAME_DEPTH_MAX = 8;

/** A name server over UDP and TCP on every address of the namespace; it records every question. */
export async function startDnsServer(zone: () => Zone, record: (reached: Reached) => void): Promise<void> {
  /** The ids of the queries for each name and type: who asks again because no answer came in time asks with the same. */
  const asked = new Map<string, number[]>();
  const answer = (query: Packet): Packet => {
    const question = query.questions?.[0];
    if (question === undefined) throw new Error("a DNS query without a question");
    const name = question.name.toLowerCase();
    record({ kind: "dns", name, type: question.type });
    const id = query.id ?? 0;
    const ids = asked.get(`${question.type} ${name}`) ?? [];
    if (!ids.includes(id)) ids.push(id);
    asked.set(`${question.type} ${name}`, ids);
    const found = resolve(zone(), name, question.type, ids.indexOf(id));
    return {
      type: "response",
      id,
      // Recursion desired and available; 3 is NXDOMAIN.
      flags: 0x0180 | (found === null ? 3 : 0),
      questions: query.questions ?? [],
      answers: found ?? [],
    };
  };
  const udp = createSocket({ type: "udp6", reuseAddr: true });
  udp.on("message", (message, { port, address }) => udp.send(encode(answer(decode(message))), port, address));
  await new Promise<void>((done) => udp.bind(DNS_PORT, done));
  const tcp = createServer((socket) => {
    socket.on("error", () => undefined);
    let received = Buffer.alloc(0);
    socket.on("data", (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      socket.end(streamEncode(answer(streamDecode(received))));
    });
  });
  await new Promise<void>((done) => tcp.listen(DNS_PORT, "::", done));
}

/** `null`: no such name. */
function resolve(zone: Zone, name: string, type: string, turn: number, depth = 0): Answer[] | null {
  const entry = find(zone, name);
  if (entry === undefined || depth > CNAME_DEPTH_MAX) return null;
  const answers: Answers | undefined = "inTurn" in entry ? entry.inTurn[Math.min(turn, entry.inTurn.length - 1)] : entry;
  if (answers === undefined) return null;
  if ("cname" in answers) {
    const target = resolve(zone, answers.cname, type, turn, depth + 1) ?? [];
    return [{ type: "CNAME", name, ttl: TTL_SECONDS, data: answers.cname }, ...target];
  }
  const matches = type === "A" ? isIPv4 : type === "AAAA" ? isIPv6 : () => false;
  return answers.addresses
    .filter((address) => matches(address))
    .map((data) => ({ type: type as "A" | "AAAA", name, ttl: TTL_SECONDS, data }));
}

function find(zone: Zone, name: string): Zone[string] | undefined {
  if (name in zone) return zone[name];
  const labels = name.split(".");
  for (let cut = 1; cut < labels.length; cut++) {
    const wildcard = zone[`*.${labels.slice(cut).join(".")}`];
    if (wildcard !== undefined) return wildcard;
  }
  return undefined;
}
