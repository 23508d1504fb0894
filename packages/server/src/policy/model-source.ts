import { randomUUID } from "node:crypto";
import type { ModelRoute, ModelSource, SessionTokens } from "@sandbox0/egress";
import type { SessionAgent } from "@sandbox0/protocol";
import { membersOf } from "../resources/environments/session-environment.ts";
import { insertModelRequests, type NewModelRequest, readSessionModels } from "../store/model-requests.ts";
import type { Queryable } from "../store/query.ts";
import type { MeasuredRequests } from "./measured-requests.ts";
import { createRowQueue } from "../store/row-queue.ts";

/** Who serves a model, for a session with these vaults. */
export interface ModelProvider extends Pick<ModelRoute, "api" | "baseUrl" | "apiKey"> {
  /** Named by a vault and not by the operator. */
  guarded?: true;
}

export interface ModelSourceDeps {
  db: Queryable;
  tokens: Pick<SessionTokens, "sessionOf" | "spend">;
  /** Whose sandbox it is now, as the pool of this node says. */
  sessionOf(sandboxId: string): string | null;
  /** `unavailable`: a sentence for the session. */
  providerOf(
    model: string,
    user: { workspaceId: string; vaultIds: readonly string[]; harness: string },
  ): Promise<ModelProvider | { unavailable: string }>;
  measured: Pick<MeasuredRequests, "add" | "last">;
  onError(error: unknown): void;
}

export interface DurableModelSource extends ModelSource {
  /** Resolves when every span recorded before is written. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** What the model gateway may ask: whose token it is, where the session's models are; and where its spans go. */
export function createModelSource(deps: ModelSourceDeps): DurableModelSource {
  const spans = createRowQueue<NewModelRequest>((rows) => insertModelRequests(deps.db, rows), deps.onError);
  return {
    // The token says which session it was made for; the pool, whether that session still has the sandbox.
    async sessionOf(sandboxId, token) {
      const sessionId = deps.tokens.sessionOf(sandboxId, token);
      return sessionId !== null && deps.sessionOf(sandboxId) === sessionId ? sessionId : null;
    },
    async routeOf(sessionId, model) {
      const session = await readSessionModels(deps.db, sessionId);
      if (session === null) return { denied: "The session is over." };
      const allowed = modelsOf(session.agent);
      if (!allowed.has(model)) return { denied: notAllowed(model, allowed) };
      const provider = await deps.providerOf(model, session);
      if ("unavailable" in provider) return { denied: provider.unavailable };
      const { api, baseUrl, apiKey, guarded = false } = provider;
      return { api, baseUrl, apiKey, guarded };
    },
    admit(sandboxId, sessionId) {
      if (deps.tokens.spend(sandboxId)) return null;
      const repeats = deps.measured.last(sessionId)?.status ?? null;
      const answered = repeats === null ? "" : ` Its provider has answered with ${repeats}.`;
      return { denied: `The session has not asked its model again.${answered}`, repeats };
    },
    record(span) {
      deps.measured.add(span);
      spans.add({ ...span, key: randomUUID() });
    },
    flush: () => spans.flush(),
    close: () => spans.close(),
  };
}

function notAllowed(model: string, allowed: ReadonlySet<string>): string {
  return `This session may not use the model ${JSON.stringify(model)}: its agent names ${[...allowed].join(", ")}.`;
}

/** The models that a session's agent names: its own, those of its roster, its advisors. */
function modelsOf(agent: SessionAgent): Set<string> {
  const { multiagent } = agent;
  const models = new Set(membersOf(agent).map((member) => member.model.id));
  if (multiagent?.type === "coordinator") {
    for (const entry of multiagent.agents) if (entry.type === "advisor") models.add(entry.model);
  } else if (multiagent?.advisor.type === "enabled") models.add(multiagent.advisor.model);
  return models;
}
