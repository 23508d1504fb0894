import { setTimeout as delay } from "node:timers/promises";
import type { TurnEnd, TurnPlan, TurnState, RetryPolicy } from "../domain/turn.ts";
import { begin, settle, settleFinished } from "../domain/turn.ts";
import type { Bells } from "../log/bells.ts";
import type { EventLog, LockedSession } from "../log/event-log.ts";
import { LeaseLost } from "../store/append.ts";
import { DatabaseUnavailable } from "../store/database-error.ts";
import { abandonLease, expireLeasesOfDead, readDue, renewLeases } from "../store/leases.ts";
import type { Database } from "../store/pool.ts";
import type { NewActivity } from "../store/timeline.ts";
import { type RunHarnessDeps, runHarness } from "./run-harness.ts";
import type { SandboxOfTurn } from "./sandbox-of-turn.ts";
import { createHeldTurn, type HeldTurn, holdingLease, interruptTurn, stopTurn, turnState, writePlan } from "./turn.ts";

/** How long a lease lasts without renewal. A dead node's leases end at once (its advisory lock is gone). */
export const LEASE_TTL_MS = 15_000;
export const LEASE_RENEW_MS = 2_000;
/** How often the rows are looked at for due sessions: the price of a lost hint. */
export const SWEEP_MS = 500;
const SWEEP_BATCH = 200;
/** Turns one node runs at a time; more stay due in the table. */
export const TURNS_MAX = 1_000;
/** A SIGTERM lets running turns end by themselves for this long. */
export const DRAIN_MS = 10_000;
/** What a turn that is given up may take to end in its sandbox before the session goes on without waiting for it. */
const LEAVE_MS = 5_000;

export interface OrchestratorTimes {
  leaseTtlMs: number;
  renewMs: number;
  sweepMs: number;
  leaveMs: number;
}
const TIMES: OrchestratorTimes = { leaseTtlMs: LEASE_TTL_MS, renewMs: LEASE_RENEW_MS, sweepMs: SWEEP_MS, leaveMs: LEAVE_MS };

export interface OrchestratorDeps extends RunHarnessDeps {
  db: Database;
  log: EventLog;
  bells: Bells;
  /** This server among the others (store/node-registry). */
  node: { id(): number; aliveNodes(): Promise<number[]> };
  retry: RetryPolicy;
  sandboxes: SandboxOfTurn;
  /** For the session's timeline. */
  record(activity: Omit<NewActivity, "key">): void;
  /** The turn has ended: the sandbox may rest. */
  onRest(sessionId: string): void;
  /** The turn goes on later or elsewhere: what of it runs in the sandbox must have ended by then. */
  onLeave(sessionId: string): Promise<void>;
  /** For the log: the database or another node got in the way; the rows say how it goes on. */
  onTrouble(error: unknown, sessionId: string | null): void;
}

export interface Orchestrator {
  start(): void;
  /** Turns running on this node. */
  active(): number;
  /** Lets turns end, then hands the rest to the next node. */
  stop(drainMs?: number): Promise<void>;
}

/** @param times for tests */
export function createOrchestrator(deps: OrchestratorDeps, times: Partial<OrchestratorTimes> = {}): Orchestrator {
  return new Runner(deps, { ...TIMES, ...times });
}

class Runner implements Orchestrator {
  private readonly deps: OrchestratorDeps;
  private readonly times: OrchestratorTimes;
  private readonly turns = new Map<string, HeldTurn>();
  /** Sessions this node is claiming or draining, and whether a bell rang meanwhile. */
  private readonly draining = new Map<string, { rung: boolean; done: Promise<void> }>();
  private timers: NodeJS.Timeout[] = [];
  private off: (() => void)[] = [];
  private sweeping = false;
  private renewing = false;
  private stopping = false;
  private handingOver = false;

  constructor(deps: OrchestratorDeps, times: OrchestratorTimes) {
    this.deps = deps;
    this.times = times;
  }

  start(): void {
    const { bells } = this.deps;
    this.off = [
      bells.onWake((sessionId) => this.wake(sessionId)),
      bells.onInterrupt((sessionId, position) => {
        const turn = this.turns.get(sessionId);
        if (turn) interruptTurn(turn, position);
      }),
      bells.onReconnect(() => void this.sweep()),
    ];
    const { sweepMs, renewMs } = this.times;
    this.timers = [setInterval(() => void this.sweep(), sweepMs), setInterval(() => void this.renew(), renewMs)];
    void this.sweep();
  }

  active(): number {
    return this.draining.size;
  }

  async stop(drainMs = DRAIN_MS): Promise<void> {
    this.stopping = true;
    for (const timer of this.timers.slice(0, 1)) clearInterval(timer);
    for (const off of this.off.slice(0, 1)) off();
    const ended = this.allDone();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, drainMs);
    });
    await Promise.race([ended, late]);
    clearTimeout(timer);
    this.handingOver = true;
    for (const turn of this.turns.values()) stopTurn(turn, "shutdown");
    await this.allDone();
    for (const each of this.timers) clearInterval(each);
    for (const off of this.off) off();
  }

  private async allDone(): Promise<void> {
    await Promise.all([...this.draining.values()].map((entry) => entry.done));
  }

  /** Starts or rings: one drain a session, and none forgotten. */
  private wake(sessionId: string): void {
    if (this.stopping) return;
    const current = this.draining.get(sessionId);
    if (current) {
      current.rung = true;
      return;
    }
    if (this.draining.size >= TURNS_MAX) return;
    const entry = { rung: false, done: Promise.resolve() };
    this.draining.set(sessionId, entry);
    entry.done = this.drain(sessionId).finally(() => {
      this.draining.delete(sessionId);
      if (entry.rung) this.wake(sessionId);
    });
  }

  private async sweep(): Promise<void> {
    if (this.sweeping || this.stopping) return;
    this.sweeping = true;
    try {
      const alive = await this.deps.node.aliveNodes();
      await expireLeasesOfDead(this.deps.db, [...alive, this.deps.node.id()]);
      const room = Math.min(SWEEP_BATCH, TURNS_MAX - this.draining.size);
      if (room > 0) for (const sessionId of await readDue(this.deps.db, room)) this.wake(sessionId);
    } catch (error) {
      this.deps.onTrouble(error, null);
    } finally {
      this.sweeping = false;
    }
  }

  private async renew(): Promise<void> {
    this.stopExpiring();
    if (this.renewing || this.turns.size === 0) return;
    this.renewing = true;
    try {
      const asked = [...this.turns.values()];
      const leaseEndsAtMs = performance.now() + this.times.leaseTtlMs;
      const held = new Map(
        (
          await renewLeases(
            this.deps.db,
            this.deps.node.id(),
            asked.map((turn) => turn.sessionId),
            this.times.leaseTtlMs,
          )
        ).map((row) => [row.sessionId, row]),
      );
      for (const turn of asked) {
        if (this.turns.get(turn.sessionId) !== turn) continue;
        const row = held.get(turn.sessionId);
        if (!row || row.generation !== turn.generation) stopTurn(turn, "lease_lost");
        else {
          turn.leaseEndsAtMs = leaseEndsAtMs;
          if (row.interrupted) interruptTurn(turn, row.inboxPosition);
        }
      }
    } catch (error) {
      this.deps.onTrouble(error, null);
    } finally {
      this.renewing = false;
    }
  }

  /** The log is fenced, the sandbox is not: nothing may run there when another node can have the lease. */
  private stopExpiring(): void {
    const nextLookMs = performance.now() + this.times.renewMs;
    for (const turn of this.turns.values()) if (turn.leaseEndsAtMs < nextLookMs) stopTurn(turn, "lease_lost");
  }

  /** From the claim until the session rests: each pass is one decision under the lock and one run of the harness. */
  private async drain(sessionId: string): Promise<void> {
    let turn: HeldTurn | null = null;
    try {
      const claimed = await this.claim(sessionId);
      if (!claimed) return;
      turn = claimed.turn;
      this.turns.set(sessionId, turn);
      let next = claimed.next;
      while (next !== "rest") {
        if (this.handingOver) throw new LeaseLost(sessionId);
        if (next === "run") next = await this.run(turn);
        else if (next === "finish") next = await this.finish(turn);
        else next = await this.decide(turn, (state) => begin(state, this.deps.retry));
      }
      if (turn.terminated) void this.deps.mcp.close(sessionId);
      else this.deps.mcp.release(sessionId);
      this.deps.onRest(sessionId);
      void this.deps.sandboxes.atRest(turn).catch((error: unknown) => this.deps.onBug(error, sessionId));
    } catch (error) {
      this.deps.onTrouble(error, sessionId);
      if (turn) this.deps.meter.leaseLost();
      if (!(error instanceof LeaseLost || error instanceof DatabaseUnavailable)) this.deps.onBug(error, sessionId);
      if (turn) await this.leave(turn);
      // The session goes on from the log, here or on another node.
      await this.abandon(sessionId);
    } finally {
      if (turn && this.turns.get(sessionId) === turn) this.turns.delete(sessionId);
    }
  }

  private async run(turn: HeldTurn): Promise<TurnPlan["next"]> {
    const startedAtMs = performance.now();
    const end: TurnEnd = turn.stopped ? { type: "interrupted" } : await runHarness(this.deps, turn);
    this.deps.meter.turn(end.type, performance.now() - startedAtMs);
    await this.deps.sandboxes.beforeIdle(turn).catch((error: unknown) => this.deps.onBug(error, turn.sessionId));
    return this.decide(turn, (state) => settle(state, end, this.deps.retry));
  }

  /** The node before this one died between the model's last word and the turn's end. */
  private async finish(turn: HeldTurn): Promise<TurnPlan["next"]> {
    // Has the sandbox, if something there has yet to be looked at.
    await this.deps.sandboxes.begin(turn);
    await this.deps.sandboxes.beforeIdle(turn).catch((error: unknown) => this.deps.onBug(error, turn.sessionId));
    return this.decide(turn, (state) => settleFinished(state, this.deps.retry));
  }

  private async decide(turn: HeldTurn, choose: (state: TurnState) => TurnPlan): Promise<TurnPlan["next"]> {
    if (turn.stopped === "lease_lost" || turn.stopped === "shutdown") throw new LeaseLost(turn.sessionId);
    // Before the decision: a stop that comes while it is made is for what follows.
    turn.stopped = null;
    turn.controller = new AbortController();
    // What is decided now is not in it.
    turn.memory = null;
    turn.prepared = null;
    const next = await this.deps.log.locked({ sessionId: turn.sessionId, workspaceId: null }, (session) =>
      holdingLease(turn, session, async () => {
        const plan = choose(turnState(turn, session));
        await writePlan(turn, session, plan);
        return plan.next;
      }),
    );
    if (next === null) throw new LeaseLost(turn.sessionId);
    return next;
  }

  /** Lease, inputs and `session.status_running` in one transaction. */
  private claim(sessionId: string): Promise<{ turn: HeldTurn; next: TurnPlan["next"] } | null> {
    const { log, node, retry } = this.deps;
    const leaseEndsAtMs = performance.now() + this.times.leaseTtlMs;
    return log.claimed(sessionId, { nodeId: node.id(), ttlMs: this.times.leaseTtlMs }, async (session) => {
      const turn = createHeldTurn(session.row, session.memory, session.head, leaseEndsAtMs);
      const plan = begin(turnState(turn, session), retry);
      await writePlan(turn, session, plan);
      if (session.head.status === "running") this.recordRecovery(turn, session);
      return { turn, next: plan.next };
    });
  }

  /** The turn was cut: its server died, or gave it up. */
  private recordRecovery({ sessionId }: HeldTurn, { head }: LockedSession): void {
    const now = Date.now();
    const attributes = { "sandbox0.attempt": head.attempts + 1, "sandbox0.lost_ms": now - head.lastEventAt.getTime() };
    this.deps.record({ sessionId, kind: "recovery", startedAt: new Date(now), durationMs: 0, failed: false, attributes });
  }

  /** Before the lease is given back: no two nodes run anything for one session. */
  private async leave(turn: HeldTurn): Promise<void> {
    stopTurn(turn, "lease_lost");
    // Nothing that it may still run there is waited for: a call that was cut is not repeated.
    void this.deps.mcp.close(turn.sessionId);
    const late = new AbortController();
    try {
      const patience = delay(this.times.leaveMs, "late", { signal: late.signal });
      if ((await Promise.race([this.deps.onLeave(turn.sessionId), patience])) === "late")
        throw new Error(`what the turn has in its sandbox did not end in ${this.times.leaveMs} ms`);
    } catch (error) {
      this.deps.onTrouble(error, turn.sessionId);
    } finally {
      late.abort();
    }
  }

  /**
   * Tries until the database answers: the lease of a living node ends by itself only when it runs out. Also after a claim
   * whose commit was not answered, which may have been made. Within its drain no one else here can hold the session.
   */
  private async abandon(sessionId: string): Promise<void> {
    for (let isFirst = true; ; isFirst = false) {
      try {
        return await abandonLease(this.deps.db, sessionId, this.deps.node.id());
      } catch (error) {
        if (isFirst) this.deps.onTrouble(error, sessionId);
        if (this.stopping || !(error instanceof DatabaseUnavailable)) return;
        await delay(this.times.sweepMs);
      }
    }
  }
}
