import { until } from "@sandbox0/testkit";
import type { Passage, PostgresProxy } from "./postgres-proxy.ts";
import { newTag, type ScriptName } from "./model.ts";
import type { ServerProcess } from "./server-process.ts";
import type { SessionRecord } from "./session-record.ts";
import { type AgentName, type EventParams, message, type Stage } from "./stage.ts";

/** Statements that a race is about. The first one of its kind that comes is meant. */
export type Moment = "the lock of a decision" | "the commit of a decision" | "a response" | "a result";

const IS: Record<Moment, (passage: Passage) => boolean> = {
  "the lock of a decision": ({ name }) => name === "lock_head",
  "the commit of a decision": ({ sql, transaction }) => sql === "commit" && transaction?.wrote === true,
  "a response": ({ sql, transaction }) => transaction === null && sql.includes("span_end as ("),
  "a result": ({ sql, transaction }) => transaction === null && sql.includes("finished as ("),
};

/** One session, and a hand on what its server says to Postgres: which of two comes first is for the test to say. */
export class Race {
  readonly tag = newTag();
  sessionId = "";
  private readonly stage: Stage;
  private readonly proxy: PostgresProxy;
  private readonly server: ServerProcess;

  constructor(stage: Stage, proxy: PostgresProxy, server: ServerProcess) {
    this.stage = stage;
    this.proxy = proxy;
    this.server = server;
  }

  async createSession(agent: AgentName = "free"): Promise<void> {
    this.sessionId = await this.stage.createSession(this.server, { agent });
  }

  say(script: ScriptName): Promise<void> {
    return this.send(message(`${script} [${this.tag}]`));
  }

  send(...events: EventParams[]): Promise<void> {
    return this.stage.send(this.server, this.sessionId, events);
  }

  /** Says it, and waits until the model has the request; it answers when `holdNext` is in place. */
  async sayUntilAsked(script: ScriptName): Promise<void> {
    const gate = this.stage.model.stopAt(this.tag, 1, "asked");
    await this.say(script);
    await gate.reached;
  }

  letModelGoOn(): void {
    this.stage.model.letGoOn(this.tag);
  }

  /** Stops the next statement of this kind about the session. @returns resolves when it has come */
  holdNext(moment: Moment, when: Passage["when"]): Promise<void> {
    const reached = Promise.withResolvers<void>();
    const watcher = (passage: Passage) => {
      if (passage.when !== when || passage.sessionId !== this.sessionId || !IS[moment](passage)) return "pass";
      this.proxy.watchers.delete(watcher);
      reached.resolve();
      return "hold";
    };
    this.proxy.watchers.add(watcher);
    return reached.promise;
  }

  resume(): void {
    this.proxy.resume();
  }

  /** Waits until some statement waits for the lock of a row that another one has. */
  async untilBlocked(): Promise<void> {
    await until(
      async () => {
        const { rows } = await this.stage.db.query(
          "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        );
        return rows.length > 0;
      },
      { describe: "somebody to wait for the row" },
    );
  }

  /** Ids of the calls of this tool, in order. */
  async callsOf(tool: string): Promise<string[]> {
    const { events } = await this.stage.record(this.sessionId);
    return events.filter((event) => event.body.name === tool).map((event) => event.id);
  }

  /** The session at rest. @throws when an invariant is broken */
  async outcome(): Promise<SessionRecord> {
    const record = await this.stage.untilRest(this.sessionId, () => this.server.output());
    const found = await this.stage.violations(record);
    if (found.length > 0) throw new Error(found.join("\n"));
    return record;
  }
}

export function countOf({ events }: SessionRecord, type: string): number {
  return events.filter((event) => event.type === type).length;
}
