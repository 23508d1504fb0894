import type Anthropic from "@anthropic-ai/sdk";
import { callServer, createClient, explain, SERVER_OPTIONS } from "../client.ts";
import { type Arguments, type Command, EXIT, type Output, UserError, usageError } from "../command.ts";
import type { SessionEvent } from "../event-line.ts";
import { followSession } from "../follow.ts";
import { safeLine } from "../terminal-text.ts";
import { askAll, type Answer } from "./answers.ts";
import { Conversation } from "./conversation.ts";
import { Lines } from "./lines.ts";
import { Screen } from "./screen.ts";

/** Messages of an older session that are shown when it is joined. */
const HISTORY_SHOWN_MAX = 6;

export const chat: Command = {
  name: "chat",
  summary: "Talk with an agent: a session in the terminal.",
  positionals: ["[session id]"],
  options: {
    agent: { type: "string", help: "begin a new session of this agent", value: "agent id" },
    environment: { type: "string", help: "where the new session's tools run", value: "environment id" },
    vault: { type: "string", multiple: true, help: "credentials for the new session", value: "vault id" },
    title: { type: "string", help: "of the new session", value: "text" },
    ...SERVER_OPTIONS,
  },
  details: `
A line is a message. The answer appears as it is written, with the tool calls (→) and their results (←). A call that needs
your approval is shown whole: answer y, n, or the reason why not, which the agent is told. A custom tool of yours asks for
its result.

Ctrl-C interrupts the turn, a second one leaves; the session goes on without you. Ctrl-D leaves.

In a pipe each line is the next message, or the answer to the next question, and the end of the input leaves when all is
done. Exit code 1: the last turn failed, or a question was left without an answer. 130: left in the middle of a turn.

  sandbox0 chat --agent agent_... --environment env_...
  echo "What is in /workspace?" | sandbox0 chat sesn_...`,
  async run(args, output) {
    const client = createClient(args);
    const sessionId = await callServer(client, () => openSession(client, args));
    const talk = new Talk(client, sessionId, output);
    try {
      return await talk.run();
    } catch (error) {
      throw explain(error, client.baseURL);
    } finally {
      talk.close();
    }
  },
};

async function openSession(client: Anthropic, args: Arguments): Promise<string> {
  const [given] = args.positionals;
  const [agent, environment, title, vaults] = [
    args.text("agent"),
    args.text("environment"),
    args.text("title"),
    args.texts("vault"),
  ];
  const wantsNew = agent !== undefined || environment !== undefined || title !== undefined || vaults.length > 0;
  if (given !== undefined) {
    if (wantsNew) throw usageError(chat, "Name a session, or what a new one is made of, not both");
    return (await client.beta.sessions.retrieve(given)).id;
  }
  if (agent === undefined || environment === undefined)
    throw usageError(chat, "Name a session, or --agent and --environment for a new one");
  const session = await client.beta.sessions.create({
    agent,
    environment_id: environment,
    ...(title === undefined ? {} : { title }),
    ...(vaults.length === 0 ? {} : { vault_ids: [...vaults] }),
  });
  return session.id;
}

type EventParams = Parameters<Anthropic["beta"]["sessions"]["events"]["send"]>[1]["events"][number];

/** One person, or one pipe, in one session. */
class Talk {
  private readonly client: Anthropic;
  private readonly sessionId: string;
  private readonly conversation = new Conversation();
  private readonly lines: Lines;
  private readonly screen: Screen;
  private readonly ending = new AbortController();
  private readonly left = Promise.withResolvers<number>();
  /** What Ctrl-C was pressed for: once more leaves. */
  private interrupted: "turn" | "prompt" | undefined;
  /** While inputs are on their way: what comes back of them waits until it is known whose they are. */
  private sending: Promise<unknown> = Promise.resolve();
  /** While the history is read: the last messages of it. */
  private history: SessionEvent[] | undefined = [];

  constructor(client: Anthropic, sessionId: string, output: Output) {
    this.client = client;
    this.sessionId = sessionId;
    this.lines = new Lines({
      input: process.stdin,
      output: output.stdout,
      isTerminal: process.stdin.isTTY === true && process.stdout.isTTY === true,
      onInterrupt: () => this.interrupt(),
    });
    this.screen = new Screen(output, this.lines);
  }

  async run(): Promise<number> {
    this.screen.note(`session ${this.sessionId}`);
    return await Promise.race([this.talk(), this.follow(), this.left.promise]);
  }

  close(): void {
    this.ending.abort();
    this.lines.close();
  }

  /** Shows what happens, for as long as the session lives. */
  private async follow(): Promise<number> {
    const events = followSession(this.client, this.sessionId, {
      previews: ["agent.message"],
      signal: this.ending.signal,
      onLive: () => this.goLive(),
      onBreak: () => this.screen.note("the connection broke; connecting again"),
    });
    for await (const event of events) {
      await Promise.allSettled([this.sending]);
      const mine = "id" in event && this.conversation.wasSentHere(event.id);
      if (this.history === undefined) this.screen.show(event, { mine });
      else if (event.type === "user.message" || event.type === "agent.message")
        this.history = [...this.history.slice(1 - HISTORY_SHOWN_MAX), event];
      this.conversation.apply(event);
    }
    this.conversation.end();
    return EXIT.failed;
  }

  private goLive(): void {
    for (const event of this.history ?? []) this.screen.show(event, { mine: false });
    this.history = undefined;
    this.conversation.goLive();
  }

  private async talk(): Promise<number> {
    const { conversation, lines, screen } = this;
    for (;;) {
      await conversation.until(() => !conversation.isBusy && (this.isAnswerable() || conversation.stopped !== "requires_action"));
      if (conversation.isOver) return EXIT.failed;
      if (conversation.waitingFor.length > 0) {
        const answers = await askAll(conversation, screen, lines);
        if (answers === "end of input") throw new UserError(this.describeWaiting());
        if (answers !== "cancelled") await this.send(answers);
        continue;
      }
      const line = await lines.next(screen.prompt);
      if (line === undefined) return conversation.stopped === "retries_exhausted" ? EXIT.failed : EXIT.ok;
      if (line.trim() !== "") await this.send([{ type: "user.message", content: [{ type: "text", text: line }] }]);
    }
  }

  private isAnswerable(): boolean {
    return this.conversation.waitingFor.length > 0;
  }

  private describeWaiting(): string {
    const names = this.conversation.waitingFor.map((call) => safeLine(call.name)).join(", ");
    return `The input has ended and the session still waits for an answer to: ${names}.`;
  }

  private async send(events: readonly (EventParams | Answer)[]): Promise<void> {
    this.interrupted = undefined;
    const sending = this.client.beta.sessions.events
      .send(this.sessionId, { events: [...events] }, { signal: this.ending.signal })
      .then(({ data = [] }) => this.conversation.expect(data.map((event) => event.id)));
    this.sending = sending;
    try {
      await sending;
    } catch (error) {
      const explained = explain(error, this.client.baseURL);
      // A person can try again; a script cannot see that it should.
      if (!this.lines.isTerminal || !(explained instanceof UserError)) throw explained;
      this.screen.note(explained.message, "red");
    }
  }

  private interrupt(): void {
    const { conversation, screen } = this;
    const isWorking = conversation.isBusy || this.isAnswerable();
    const purpose = isWorking ? "turn" : "prompt";
    if (this.interrupted === purpose) {
      if (isWorking) screen.note(`the session goes on; join it again: sandbox0 chat ${this.sessionId}`);
      this.left.resolve(isWorking ? EXIT.interrupted : EXIT.ok);
      return;
    }
    this.interrupted = purpose;
    if (!isWorking) {
      screen.note("Ctrl-C once more, or Ctrl-D, leaves");
      return;
    }
    screen.note("interrupting; Ctrl-C once more leaves");
    this.client.beta.sessions.events
      .send(this.sessionId, { events: [{ type: "user.interrupt" }] }, { signal: this.ending.signal })
      .catch((error: unknown) => {
        if (!this.ending.signal.aborted)
          screen.note(`cannot interrupt: ${describeError(explain(error, this.client.baseURL))}`, "red");
      });
  }
}

const describeError = (error: unknown): string => (error instanceof Error ? error.message : String(error));
