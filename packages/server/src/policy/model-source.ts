import type { ModelRoute, ModelSource, ModelSpan, SessionTokens } from "@sandbox0/egress";
import type { SessionAgent } from "@sandbox0/protocol";
import { membersOf } from "../resources/environments/session-environment.ts";
import type { VaultSecrets } from "../resources/vaults/vault-secrets.ts";
import { readSessionModels, type SessionModelsRow } from "../store/model-requests.ts";
import type { Queryable } from "../store/query.ts";

export interface ModelSourceDeps {
  db: Queryable;
  tokens: Pick<SessionTokens, "sessionOf">;
  /** Whose sandbox it is now, as the pool of this node says. */
  sessionOf(sandboxId: string): string | null;
  /** Who serves a model by this server's configuration, or a sentence for the session when nobody does. */
  resolveModel(model: string): Pick<ModelRoute, "api" | "baseUrl" | "apiKey"> | { unavailable: string };
  /** How the base URL of an API is written (`/v1` or not). */
  normalizeBaseUrl(api: ModelRoute["api"], url: string): string;
  vaults: Pick<VaultSecrets, "llmOf" | "secretOf">;
  /** Never throws. */
  record(span: ModelSpan): void;
}

type Route = ModelRoute | { denied: string };

/** For servers that take any key. */
const NO_KEY = "none";

/** What the model gateway may ask: whose token it is, and where the session's models are. */
export function createModelSource(deps: ModelSourceDeps): ModelSource {
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
      return routeOf(deps, session, model);
    },
    record: (span) => deps.record(span),
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

/** An LLM vault of the session (design §5) comes before what the server is configured with. */
async function routeOf(deps: ModelSourceDeps, { workspaceId, vaultIds, harness }: SessionModelsRow, model: string): Promise<Route> {
  const configured = deps.resolveModel(model);
  const vault = vaultIds.length === 0 ? null : await deps.vaults.llmOf(workspaceId, vaultIds);
  if (vault === null || (vault.baseUrl === null && vault.credentialId === null)) {
    return "unavailable" in configured ? { denied: configured.unavailable } : { ...configured, guarded: false };
  }
  const key = vault.credentialId === null ? null : await deps.vaults.secretOf(vault.credentialId);
  if (vault.credentialId !== null && key === null) return { denied: "The provider key of the session's LLM vault is gone." };
  if (vault.baseUrl === null) {
    if ("unavailable" in configured) return { denied: configured.unavailable };
    return { ...configured, apiKey: key ?? NO_KEY, guarded: false };
  }
  // The server's own key is for the server's own providers: it never goes to an address that somebody else wrote.
  const api = API_OF_HARNESS[harness] ?? ("unavailable" in configured ? "anthropic-messages" : configured.api);
  return { api, baseUrl: deps.normalizeBaseUrl(api, vault.baseUrl), apiKey: key ?? NO_KEY, guarded: true };
}

/** What the harnesses that run in sandboxes speak (design §5). */
const API_OF_HARNESS: Readonly<Record<string, ModelRoute["api"]>> = {
  claude: "anthropic-messages",
  codex: "openai-responses",
};
