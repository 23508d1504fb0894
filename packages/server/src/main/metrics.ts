import type { AuditRow } from "@sandbox0/egress";
import type { Layers, SandboxPool } from "@sandbox0/sandbox";
import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { TurnMeter } from "../orchestrator/meter.ts";
import type { LayerMeter } from "../provision/packages/layer-room.ts";
import type { Database } from "../store/pool.ts";
import { countSessions, type SessionCounts } from "../store/session-counts.ts";
import type { NewActivity } from "../store/timeline.ts";

/** Seconds. */
const TURN_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];
const FIRST_TOKEN_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const CLAIM_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30];
/** Sessions are counted at most this often, however many scrapers there are. */
const COUNT_MS = 15_000;
const POOL_STATES = ["warm", "active", "idle", "paused", "starting", "queued"] as const;

const seconds = (ms: number): number => ms / 1000;

/** Turns, model requests and tool calls of this server. */
export function createTurnMeter(registry: Registry): TurnMeter {
  const registers = [registry];
  const turns = new Histogram({
    name: "sandbox0_turn_duration_seconds",
    help: "Time of one run of a harness, by how it ended.",
    labelNames: ["end"],
    buckets: TURN_BUCKETS,
    registers,
  });
  const requests = new Histogram({
    name: "sandbox0_model_request_duration_seconds",
    help: "Time of model requests, to their last byte.",
    labelNames: ["outcome"],
    buckets: TURN_BUCKETS,
    registers,
  });
  const firstToken = new Histogram({
    name: "sandbox0_model_first_token_seconds",
    help: "Time from a model request to its first token.",
    buckets: FIRST_TOKEN_BUCKETS,
    registers,
  });
  const calls = new Histogram({
    name: "sandbox0_tool_call_duration_seconds",
    help: "Time of tool calls, the claim of the sandbox included, by kind.",
    labelNames: ["kind", "outcome"],
    buckets: TURN_BUCKETS,
    registers,
  });
  const lost = new Counter({ name: "sandbox0_lease_lost_total", help: "Turns that this server had to give up.", registers });
  return {
    turn: (end, ms) => turns.observe({ end }, seconds(ms)),
    modelRequest(failed, { firstTokenMs, totalMs }) {
      requests.observe({ outcome: failed ? "error" : "ok" }, seconds(totalMs));
      if (firstTokenMs !== null) firstToken.observe(seconds(firstTokenMs));
    },
    toolCall: (kind, isError, ms) => calls.observe({ kind, outcome: isError ? "error" : "ok" }, seconds(ms)),
    leaseLost: () => lost.inc(),
  };
}

/** Counts what sessions do to get their sandbox. @returns to be told of each activity */
export function createClaimMeter(
  registry: Registry,
): (activity: Pick<NewActivity, "kind" | "durationMs" | "attributes">) => void {
  const registers = [registry];
  const claims = new Histogram({
    name: "sandbox0_sandbox_claim_seconds",
    help: "Time until a turn had its sandbox with all that is given to it, by where it came from.",
    labelNames: ["source"],
    buckets: CLAIM_BUCKETS,
    registers,
  });
  const recoveries = new Counter({ name: "sandbox0_recoveries_total", help: "Turns taken over after they were cut.", registers });
  return ({ kind, durationMs, attributes }) => {
    if (kind === "recovery") recoveries.inc();
    else claims.observe({ source: String(attributes["sandbox0.sandbox.source"]) }, seconds(durationMs));
  };
}

/** @returns to be told of each row of the egress audit */
export function createEgressMeter(registry: Registry): (row: Pick<AuditRow, "verdict">) => void {
  const verdicts = new Counter({
    name: "sandbox0_egress_requests_total",
    help: "Requests and tunnels of sandboxes, by verdict.",
    labelNames: ["verdict"],
    registers: [registry],
  });
  return ({ verdict }) => verdicts.inc({ verdict });
}

export function addPoolMetrics(registry: Registry, pool: Pick<SandboxPool, "stats">): void {
  new Gauge({
    name: "sandbox0_sandboxes",
    help: "Sandboxes of this server by state; `queued` are callers that wait.",
    labelNames: ["state"],
    registers: [registry],
    collect() {
      const stats = pool.stats();
      for (const state of POOL_STATES) this.set({ state }, stats[state]);
    },
  });
}

/** The prepared systems of environments on this server's disk. @returns to be told of what becomes of them */
export function createLayerMeter(registry: Registry, layers: Pick<Layers, "list">): LayerMeter {
  const registers = [registry];
  new Gauge({
    name: "sandbox0_layers_bytes",
    help: "Disk that the packages of environments take on this server, by whether sandboxes run with them.",
    labelNames: ["state"],
    registers,
    async collect() {
      const bytes = { used: 0, unused: 0 };
      for (const { inUse, sizeBytes } of await layers.list()) bytes[inUse ? "used" : "unused"] += sizeBytes;
      for (const state of ["used", "unused"] as const) this.set({ state }, bytes[state]);
    },
  });
  const removed = new Counter({
    name: "sandbox0_layers_removed_total",
    help: "Packages of environments that were removed from this server's disk: `unused` for long, or for the `room` of others.",
    labelNames: ["reason"],
    registers,
  });
  const refused = new Counter({
    name: "sandbox0_layers_refused_total",
    help: "Builds for which there was no room on this server's disk.",
    registers,
  });
  return { removed: (reason) => removed.inc({ reason }), refused: () => refused.inc() };
}

/** Of the whole installation: every server says the same. */
export function addSessionMetrics(registry: Registry, db: Database): void {
  let counted: { atMs: number; counts: Promise<SessionCounts> } | null = null;
  /** `null`: the database does not answer. The scrape says the rest; `/readyz` is what tells of it. */
  const counts = (): Promise<SessionCounts | null> => {
    if (counted === null || Date.now() - counted.atMs > COUNT_MS) {
      const next = { atMs: Date.now(), counts: countSessions(db.reads) };
      counted = next;
      next.counts.catch(() => {
        if (counted === next) counted = null;
      });
    }
    return counted.counts.catch(() => null);
  };
  new Gauge({
    name: "sandbox0_sessions",
    help: "Sessions by status.",
    labelNames: ["status"],
    registers: [registry],
    async collect() {
      const found = await counts();
      this.reset();
      for (const [status, count] of Object.entries(found?.byStatus ?? {})) this.set({ status }, count);
    },
  });
  new Gauge({
    name: "sandbox0_queue_sessions",
    help: "Sessions with work that no server has taken up.",
    registers: [registry],
    collect: async function () {
      this.set((await counts())?.due ?? Number.NaN);
    },
  });
  new Gauge({
    name: "sandbox0_queue_age_seconds",
    help: "How long the oldest of that work has waited.",
    registers: [registry],
    collect: async function () {
      const found = await counts();
      const since = found?.oldestDueAt?.getTime() ?? Date.now();
      this.set(found === null ? Number.NaN : seconds(Date.now() - since));
    },
  });
  new Gauge({
    name: "sandbox0_database_connections",
    help: "Connections of this server to its database; `waiting` are statements that have none yet.",
    labelNames: ["state"],
    registers: [registry],
    collect() {
      const { open, idle, waiting } = db.stats();
      this.set({ state: "open" }, open);
      this.set({ state: "idle" }, idle);
      this.set({ state: "waiting" }, waiting);
    },
  });
}
