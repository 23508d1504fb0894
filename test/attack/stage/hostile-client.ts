/**
 * What a hostile model runs in its sandbox: a client that keeps to no rule. Self-contained, because it is copied there.
 *
 * Usage: node hostile-client.ts <attacks  (a list of {@link Attack} as JSON in base64, since it goes through shells); prints a list
 * of {@link Outcome} as JSON
 */
import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { lookup, Resolver } from "node:dns/promises";
import { connect, type NetConnectOpts, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** A connection, and what is sent over it, one answer awaited after each; text is latin-1. */
interface Conversation {
  to: "proxy" | { host: string; port: number } | { path: string };
  say: readonly (string | { tls: string | null })[];
}

/** One thing to try. */
export type Attack =
  | ({ try: "talk" } & Conversation)
  | { try: "datagram"; host: string; port: number; text: string }
  | { try: "lookup"; name: string }
  /** Asks this name server for the name, over UDP as resolvers do. */
  | { try: "resolve"; name: string; server: string };

/** `answers`: one for each thing said, as far as it got. */
export interface Outcome {
  answers: string[];
  /** What ended it early: an error's code, or `silence`, or `closed`. */
  error: string | null;
}

/** A gateway that says nothing has refused as well, but slowly. */
const SILENCE_MS = 8_000;
/** An answer is over when nothing came for so long: a second one may follow that nobody asked for. */
const QUIET_MS = 400;
/** The same of one that is not whole by what it says of its length. */
const UNFINISHED_MS = 4_000;

class Ended extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

async function talk({ to, say }: Conversation, answers: string[]): Promise<void> {
  let socket = await open(target(to));
  try {
    for (const words of say) {
      if (typeof words === "string") {
        socket.write(words, "latin1");
        answers.push(await hear(socket));
      } else {
        // In a tunnel that is not there, nobody speaks TLS.
        if (/^HTTP\/1\.1 [^2]/.test(answers.at(-1) ?? "")) return;
        socket = await startTls(socket, words.tls);
        answers.push("(tls)");
      }
    }
  } finally {
    socket.destroy();
  }
}

function target(to: Conversation["to"]): NetConnectOpts {
  if (to !== "proxy") return to;
  const proxy = new URL(process.env.HTTP_PROXY ?? process.env.http_proxy ?? "http://127.0.0.1:3128");
  return { host: proxy.hostname, port: Number(proxy.port) };
}

function open(options: NetConnectOpts): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(options);
    const timer = setTimeout(() => reject(new Ended("silence")), SILENCE_MS);
    socket.once("error", reject).once("connect", () => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}

function startTls(socket: Socket, servername: string | null): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (socket.destroyed) return reject(new Ended("closed"));
    const secure = connectTls({ socket, ...(servername === null ? {} : { servername }), rejectUnauthorized: false });
    setTimeout(() => reject(new Ended("silence")), SILENCE_MS).unref();
    secure
      .once("secureConnect", () => resolve(secure))
      .once("error", reject)
      .once("close", () => reject(new Ended("closed")));
  });
}

/** As far as the HTTP messages in it tell; what is none, or has no length, may be whole at any time. */
function isWhole(heard: string): boolean {
  const headEnd = heard.indexOf("\r\n\r\n") + 4;
  if (!heard.startsWith("HTTP/1.")) return true;
  if (headEnd < 4) return false;
  const head = heard.slice(0, headEnd);
  if (/\r\ntransfer-encoding: *chunked/i.test(head)) return /\r\n0\r\n\r\n/.test(heard.slice(headEnd - 2));
  const bodyEnd = headEnd + Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
  return heard.length >= bodyEnd && (heard.length === bodyEnd || isWhole(heard.slice(bodyEnd)));
}

/** Everything that comes until it is quiet. */
function hear(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    if (socket.destroyed || socket.readableEnded) return reject(new Ended("closed"));
    let heard = "";
    let quiet: NodeJS.Timeout | undefined;
    const end = (error?: Error): void => {
      clearTimeout(silence);
      clearTimeout(quiet);
      socket.removeAllListeners();
      socket.on("error", () => undefined);
      if (heard === "" && error) reject(error);
      else resolve(heard);
    };
    const silence = setTimeout(() => end(new Ended("silence")), SILENCE_MS);
    socket.on("data", (chunk: Buffer) => {
      heard += chunk.toString("latin1");
      clearTimeout(quiet);
      quiet = setTimeout(end, isWhole(heard) ? QUIET_MS : UNFINISHED_MS);
    });
    socket.on("error", end).on("close", () => end(new Ended("closed")));
  });
}

function datagram(host: string, port: number, text: string, answers: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    const timer = setTimeout(() => socket.close(resolve), QUIET_MS);
    socket.on("message", (message) => answers.push(message.toString("latin1")));
    socket.on("error", (error) => {
      clearTimeout(timer);
      socket.close(() => reject(error));
    });
    socket.send(text, port, host, (error) => {
      if (error) socket.emit("error", error);
      else answers.push("(sent)");
    });
  });
}

async function attempt(attack: Attack, answers: string[]): Promise<void> {
  switch (attack.try) {
    case "talk":
      return talk(attack, answers);
    case "datagram":
      return datagram(attack.host, attack.port, attack.text, answers);
    case "lookup":
      answers.push((await lookup(attack.name)).address);
      return;
    case "resolve": {
      const resolver = new Resolver({ timeout: QUIET_MS, tries: 1 });
      resolver.setServers([attack.server]);
      answers.push(...(await resolver.resolve4(attack.name)));
    }
  }
}

async function outcomeOf(attack: Attack): Promise<Outcome> {
  const outcome: Outcome = { answers: [], error: null };
  await attempt(attack, outcome.answers).catch((error: NodeJS.ErrnoException) => {
    outcome.error = error.code ?? error.message;
  });
  return outcome;
}

const attacks = JSON.parse(Buffer.from(readFileSync(0, "utf8"), "base64").toString()) as Attack[];
const outcomes: Outcome[] = [];
for (const attack of attacks) outcomes.push(await outcomeOf(attack));
console.log(JSON.stringify(outcomes));
process.exit();
