import { createHash } from "node:crypto";
import { type AppServer, type IncomingRequest, type Notification, ProgramFailed, RequestRefused } from "./app-server.ts";
import { isJson } from "./json.ts";
import type { LogNote } from "./program-log.ts";
import type { DynamicToolSpec, ResponseItem, ThreadStartParams } from "./protocol.ts";
import type { Ending, ResponseEnd, ResponseReader } from "./read-response.ts";
import { type OutputItem, toToolAnswer, toUserInput } from "./to-items.ts";

/** What the model is asked: everything, each time. What of it the program knows is the conversation's affair. */
export interface Question {
  items: readonly ResponseItem[];
  instructions: string;
  tools: readonly DynamicToolSpec[];
  model: string;
  /** Left to the provider when missing. */
  effort?: string;
  serviceTier?: string;
}

/** How long the program may take to report a stream that broke; with calls that wait for answers, it does not. */
const BROKEN_MS = 2_000;

export interface ConversationTimes {
  /** How long the program may say nothing at all while the model is asked. */
  silenceMs: number;
}

/** A turn of Codex. It waits while its calls have no answers, and is over when the model asked for nothing more. */
interface CodexTurn {
  id: string;
  isOver: boolean;
  over: PromiseWithResolvers<void>;
  /** Calls of the last response that Codex asks us to run. */
  callIds: Set<string>;
  asked: Map<string, IncomingRequest["id"]>;
  /** Wakes whoever waits for `asked`. */
  wake: () => void;
}

interface Thread {
  id: string;
  /** Hashes of the items it has, in order. */
  known: string[];
  /** What a thread cannot change. */
  settings: string;
  turn: CodexTurn | null;
}

interface Reading {
  reader: ResponseReader;
  end: PromiseWithResolvers<Ending>;
  /** When the program was last told nothing yet. */
  sinceMs: number;
  /** The response has ended, or nobody waits for it any more. */
  isOver: boolean;
}

/**
 * A conversation with one program. It keeps a thread that has part of the question, as long as it is a true start of it,
 * and gives the program only the rest; in all other cases it makes a new thread, which costs little: threads are in
 * memory only. So what the program holds can never differ from the log for longer than one request.
 */
export class Conversation {
  readonly #server: AppServer;
  readonly #times: ConversationTimes;
  #thread: Thread | null = null;
  #reading: Reading | null = null;
  #silence: NodeJS.Timeout | null = null;

  constructor(server: AppServer, times: ConversationTimes) {
    this.#server = server;
    this.#times = times;
    server.listen({
      notified: (notification) => this.#notified(notification),
      requested: (request) => this.#requested(request),
      logged: (note, atMs) => this.#logged(note, atMs),
      ended: (reason) => this.#settle((end) => end.reject(reason)),
    });
  }

  get isUsable(): boolean {
    return this.#server.failure === null;
  }

  /**
   * Asks the model once. After an abort the program drops the request and the conversation goes on with another thread.
   * @throws ProgramFailed
   */
  async ask(question: Question, reader: ResponseReader, signal: AbortSignal): Promise<ResponseEnd | "aborted"> {
    const hashes = question.items.map(hashOf);
    const reading = { reader, end: Promise.withResolvers<Ending>(), sinceMs: Date.now(), isOver: false };
    // Told by `ended`, also when nobody waits for it yet.
    reading.end.promise.catch(() => undefined);
    const aborted = Promise.withResolvers<"aborted">();
    const abort = (): void => aborted.resolve("aborted");
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    this.#watch();
    try {
      const sent = this.#send(question, hashes, reading);
      // Told by the race; after an abort it is only waited for, to know which turn is to be stopped.
      sent.catch(() => undefined);
      const ended = sent.then(() => reading.end.promise).then((ending) => reader.settle(ending));
      const end = await Promise.race([ended, aborted.promise]);
      if (end === "aborted") {
        this.drop(sent);
        return end;
      }
      if (end.type === "failed") this.drop(sent);
      else this.#finish(end, hashes);
      return end;
    } finally {
      signal.removeEventListener("abort", abort);
      reading.isOver = true;
      this.#endReading();
    }
  }

  /** Forgets the thread and stops what it does. @param sent what is under way to it */
  drop(sent: Promise<void> = Promise.resolve()): void {
    const thread = this.#thread;
    if (thread === null) return;
    this.#thread = null;
    void this.#abandon(thread, sent).catch((error: unknown) => this.#failFor(error));
  }

  /** Gives the program what it does not have, and lets it ask the model. */
  async #send(question: Question, hashes: readonly string[], reading: Reading): Promise<void> {
    if (await this.#goOn(question, hashes, reading)) return;
    if (reading.isOver) return;
    const thread = (await this.#knowingThread(question, hashes)) ?? (await this.#newThread(question));
    const rest = question.items.slice(thread.known.length);
    thread.known = [...hashes];
    if (rest.length > 0) await this.#server.request("thread/inject_items", { threadId: thread.id, items: rest });
    if (reading.isOver) return;
    this.#reading = reading;
    const turn = newTurn();
    thread.turn = turn;
    const effort = question.effort === undefined ? {} : { effort: question.effort };
    const started = await this.#server.request("turn/start", { threadId: thread.id, input: [], ...effort });
    turn.id = idOf(started.turn);
  }

  /** Answers the calls that the program waits for, when that is all that is new. @returns whether it was */
  async #goOn(question: Question, hashes: readonly string[], reading: Reading): Promise<boolean> {
    const thread = this.#fitting(question, hashes);
    const turn = thread?.turn;
    if (!thread || !turn || turn.isOver || turn.callIds.size === 0) return false;
    const rest = question.items.slice(thread.known.length);
    const outputs = rest.slice(0, turn.callIds.size).filter((item): item is OutputItem => item.type === "function_call_output");
    const inputs = rest.slice(turn.callIds.size).map(toUserInput);
    const answersAll = outputs.length === turn.callIds.size && outputs.every(({ call_id }) => turn.callIds.has(call_id ?? ""));
    if (!answersAll || !inputs.every((input) => input !== null)) return false;
    await waitUntil(() => turn.isOver || turn.asked.size === turn.callIds.size, turn);
    for (const input of inputs) if (!(await this.#steer(thread.id, turn.id, input))) return false;
    if (turn.isOver) return false;
    if (reading.isOver) return true;
    this.#reading = reading;
    thread.known = [...hashes];
    turn.callIds = new Set();
    const asked = turn.asked;
    turn.asked = new Map();
    for (const output of outputs) {
      const requestId = asked.get(output.call_id ?? "");
      if (requestId !== undefined) this.#server.answer(requestId, toToolAnswer(output));
    }
    return true;
  }

  async #steer(threadId: string, turnId: string, input: object): Promise<boolean> {
    try {
      await this.#server.request("turn/steer", { threadId, expectedTurnId: turnId, input });
      return true;
    } catch (error) {
      if (error instanceof RequestRefused) return false;
      throw error;
    }
  }

  /** The thread, when what it has is the start of the question. */
  #fitting(question: Question, hashes: readonly string[]): Thread | null {
    const thread = this.#thread;
    if (thread === null || thread.settings !== settingsOf(question)) return null;
    return thread.known.length <= hashes.length && thread.known.every((hash, index) => hash === hashes[index]) ? thread : null;
  }

  async #knowingThread(question: Question, hashes: readonly string[]): Promise<Thread | null> {
    const thread = this.#fitting(question, hashes);
    if (thread?.turn && !thread.turn.isOver && thread.turn.callIds.size === 0) await thread.turn.over.promise;
    if (thread !== null && (thread.turn === null || thread.turn.isOver)) return thread;
    this.drop();
    return null;
  }

  async #newThread(question: Question): Promise<Thread> {
    const params: ThreadStartParams = {
      model: question.model,
      approvalPolicy: "never",
      sandbox: "danger-full-access",
      baseInstructions: question.instructions,
      ephemeral: true,
      environments: [],
      experimentalRawEvents: true,
      dynamicTools: [...question.tools],
      ...(question.serviceTier === undefined ? {} : { serviceTier: question.serviceTier }),
    };
    const started = await this.#server.request("thread/start", params);
    this.#thread = { id: idOf(started.thread), known: [], settings: settingsOf(question), turn: null };
    return this.#thread;
  }

  /** What Codex itself has of the response is what the log has; where that is not so, the thread is of no use. */
  #finish(end: Extract<ResponseEnd, { type: "finished" }>, hashes: readonly string[]): void {
    const { items, refusal, isCut } = end.response;
    const thread = this.#thread;
    if (thread?.turn == null) return;
    const calls = items.filter((item) => item.type === "function_call" || item.type === "custom_tool_call");
    const tools = new Set((JSON.parse(thread.settings) as { tools: DynamicToolSpec[] }).tools.map((tool) => tool.name));
    const isWhole = items.some((item) => item.type === "message") || calls.length > 0;
    const comesToUs = calls.every((call) => call.type === "function_call" && tools.has(call.name) && isParseable(call.arguments));
    if (refusal !== null || isCut || !isWhole || !comesToUs) {
      this.drop();
    } else {
      thread.known = [...hashes, ...items.map(hashOf)];
      thread.turn.callIds = new Set(calls.map((call) => call.call_id));
    }
  }

  async #abandon(thread: Thread, sent: Promise<void>): Promise<void> {
    // A turn that is being started has no id yet to be stopped by. If that fails, whoever asked was told, and there is none.
    if (thread.turn === null || thread.turn.id === "") await sent.catch(() => undefined);
    const { turn } = thread;
    if (turn !== null && !turn.isOver) {
      try {
        await this.#server.request("turn/interrupt", { threadId: thread.id, turnId: turn.id });
      } catch (error) {
        // It ended by itself in the meantime.
        if (!(error instanceof RequestRefused)) throw error;
      }
    }
    await this.#server.request("thread/unsubscribe", { threadId: thread.id });
  }

  #failFor(error: unknown): void {
    if (error instanceof RequestRefused) this.#server.fail(error);
    else if (!(error instanceof ProgramFailed)) throw error;
  }

  #watch(): void {
    const late = new ProgramFailed(`Codex said nothing for ${this.#times.silenceMs} ms.`);
    this.#silence = setTimeout(() => this.#server.fail(late), this.#times.silenceMs);
  }

  #endReading(): void {
    if (this.#silence !== null) clearTimeout(this.#silence);
    this.#silence = null;
    this.#reading = null;
  }

  #settle(how: (end: Reading["end"]) => void): void {
    if (this.#reading !== null) how(this.#reading.end);
    const turn = this.#thread?.turn;
    if (turn) endTurn(turn);
  }

  #notified(notification: Notification): void {
    const thread = this.#thread;
    if (thread === null || notification.params.threadId !== thread.id) return;
    this.#silence?.refresh();
    const turnId = turnIdOf(notification);
    const { turn } = thread;
    // Its own name for it comes before the answer to our request has been read.
    if (notification.method === "turn/started" && turn !== null) turn.id = turnId ?? "";
    // Items that were given to the thread are reported, too, as if of another turn, and late.
    if (turn === null || turnId !== turn.id) return;
    if (notification.method === "turn/completed") endTurn(turn);
    const reading = this.#reading;
    if (reading === null || reading.isOver) return;
    try {
      const ending = reading.reader.see(notification);
      if (ending !== null) this.#endedWith(reading, ending);
    } catch (error) {
      if (!(error instanceof ProgramFailed)) throw error;
      this.#server.fail(error);
    }
  }

  #logged(note: LogNote, atMs: number): void {
    const reading = this.#reading;
    // The log is late on a busy machine: a line of the request before would end this one.
    if (reading === null || atMs < reading.sinceMs) return;
    reading.reader.note(note);
    if (note.type !== "broken") return;
    const giveUp = (): void => this.#endedWith(reading, reading.reader.breakOff(note.message));
    setTimeout(giveUp, BROKEN_MS).unref();
  }

  #endedWith(reading: Reading, ending: Ending): void {
    reading.isOver = true;
    reading.end.resolve(ending);
  }

  #requested(request: IncomingRequest): void {
    const turn = this.#thread?.turn;
    const { callId, threadId } = request.params;
    if (request.method !== "item/tool/call" || typeof callId !== "string") {
      this.#server.refuse(request.id, "Nobody is here to answer this.");
    } else if (turn && threadId === this.#thread?.id && request.params.turnId === turn.id) {
      turn.asked.set(callId, request.id);
      turn.wake();
    }
  }
}

function newTurn(): CodexTurn {
  return {
    id: "",
    isOver: false,
    over: Promise.withResolvers(),
    callIds: new Set(),
    asked: new Map(),
    wake: () => undefined,
  };
}

function endTurn(turn: CodexTurn): void {
  turn.isOver = true;
  turn.over.resolve();
  turn.wake();
}

async function waitUntil(holds: () => boolean, turn: CodexTurn): Promise<void> {
  while (!holds()) {
    const { promise, resolve } = Promise.withResolvers<void>();
    turn.wake = resolve;
    await promise;
  }
}

function settingsOf({ instructions, tools, model, serviceTier }: Question): string {
  return JSON.stringify({ instructions, tools, model, serviceTier });
}

/** The same for the same item, whatever order storage gave its keys. */
function hashOf(item: ResponseItem): string {
  return createHash("sha256").update(JSON.stringify(item, sortKeys)).digest("base64");
}

function sortKeys(_key: string, value: unknown): unknown {
  return isJson(value) ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value;
}

function isParseable(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

function turnIdOf({ params }: Notification): string | null {
  const id = isJson(params.turn) ? params.turn.id : params.turnId;
  return typeof id === "string" ? id : null;
}

function idOf(holder: unknown): string {
  if (isJson(holder) && typeof holder.id === "string") return holder.id;
  throw new ProgramFailed("Codex made something without an id.");
}
