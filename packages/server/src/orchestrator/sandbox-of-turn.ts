import { type ClaimedSandbox, SandboxError, type SandboxPool } from "@sandbox0/sandbox";
import { errorEvent } from "../domain/lifecycle-events.ts";
import type { EventLog } from "../log/event-log.ts";
import type { ProvisionSession } from "../provision/port.ts";
import type { Provision } from "../provision/provision.ts";
import type { NewActivity } from "../store/timeline.ts";
import type { HeldTurn } from "./turn.ts";
import { turnWriter } from "./turn-writer.ts";

/** The sandbox of a session that runs, with all that the session is given in it. */
export interface SandboxOfTurn {
  /** Claims and prepares it, at most once a turn while it lives. @throws SandboxError, also when the turn is stopped */
  claim(turn: HeldTurn): Promise<ClaimedSandbox>;
  /** Before the turn's first model request: has the sandbox ready when it must be, and tells what the prompt shall say of it. */
  begin(turn: HeldTurn): Promise<string[]>;
  /** Behind a call that ran in it: sentences for the model. */
  afterCall(turn: HeldTurn): Promise<string[]>;
  /** The turn ends: nothing happens unless it used the sandbox. */
  beforeIdle(turn: HeldTurn): Promise<void>;
  atRest(turn: HeldTurn): Promise<void>;
}

export interface SandboxOfTurnDeps {
  log: EventLog;
  pool: SandboxPool;
  provision: Provision;
  /** For the session's timeline. */
  record(activity: Omit<NewActivity, "key">): void;
}

export function createSandboxOfTurn(deps: SandboxOfTurnDeps): SandboxOfTurn {
  const sessionOf = (turn: HeldTurn): ProvisionSession => provisionSession(deps.log, turn);
  const claim = (turn: HeldTurn): Promise<ClaimedSandbox> => unlessStopped(turn.controller.signal, claimPrepared(deps, turn));
  return {
    claim,
    async begin(turn) {
      const session = sessionOf(turn);
      // Few turns need the sandbox so soon: the notes of most are there with the answer that theirs does not.
      const [isEager, notes] = await Promise.all([deps.provision.isEager(session), deps.provision.notes(session)]);
      if (!isEager) return notes;
      await claim(turn).catch(toldAtTheFirstCall);
      return deps.provision.notes(session);
    },
    async afterCall(turn) {
      return turn.volume === null ? [] : deps.provision.afterCall(sessionOf(turn), turn.volume);
    },
    async beforeIdle(turn) {
      if (turn.volume !== null) await deps.provision.beforeIdle(sessionOf(turn), turn.volume);
    },
    async atRest(turn) {
      if (turn.volume !== null) await deps.provision.atRest(sessionOf(turn), turn.volume);
    },
  };
}

async function claimPrepared(deps: SandboxOfTurnDeps, turn: HeldTurn): Promise<ClaimedSandbox> {
  const { pool, provision } = deps;
  const { signal } = turn.controller;
  const session = provisionSession(deps.log, turn);
  const startedAt = new Date();
  if (turn.prepared === null) await provision.place(session);
  const claimed = await pool.claim(turn.sessionId, null, () => provision.equip(session));
  if (signal.aborted) throw stopped();
  turn.volume = claimed.volume;
  if (turn.prepared?.sandboxId !== claimed.sandbox.id) {
    const claimMs = Date.now() - startedAt.getTime();
    const prepared = { sandboxId: claimed.sandbox.id, done: provision.prepare(session, claimed) };
    turn.prepared = prepared;
    const record = (failed: boolean): void => {
      const [sessionId, durationMs] = [turn.sessionId, Date.now() - startedAt.getTime()];
      const attributes = { "sandbox0.sandbox.source": claimed.source, "sandbox0.claim_ms": claimMs };
      deps.record({ sessionId, kind: "sandbox_claim", startedAt, durationMs, failed, attributes });
    };
    prepared.done.then(
      () => record(false),
      () => {
        // Tried again by the next call.
        if (turn.prepared === prepared) turn.prepared = null;
        record(true);
      },
    );
  }
  await turn.prepared.done;
  if (signal.aborted) throw stopped();
  return claimed;
}

function provisionSession(log: EventLog, turn: HeldTurn): ProvisionSession {
  const { workspace_id: workspaceId, environment_id: environmentId, agent } = turn.session;
  const { signal } = turn.controller;
  const write = turnWriter(log, turn);
  const report: ProvisionSession["report"] = async (error) => void (await write({ events: [errorEvent(error)] }));
  return { sessionId: turn.sessionId, workspaceId, environmentId, agent, signal, report };
}

/** The session begins without it; a call that needs it claims it again, and says what is wrong. */
function toldAtTheFirstCall(error: unknown): void {
  if (!(error instanceof SandboxError)) throw error;
}

/** Nothing has run: the turn's end takes no notice of what this says. */
function stopped(): SandboxError {
  return new SandboxError("unavailable", "the turn was stopped");
}

/** A claim may wait long for its place in a full pool; the sandbox it gets in the end is the session's next one. */
export async function unlessStopped<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const cut = Promise.withResolvers<never>();
  const onAbort = () => cut.reject(stopped());
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, cut.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
