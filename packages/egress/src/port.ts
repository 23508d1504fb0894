/**
 * What the gateways need of the server around them (design §7). A sandbox is known by the socket it comes through, never
 * by anything it says. Whatever a function here cannot answer (`null`, a rejection) means no way out.
 */

/** Who may go where, for one sandbox and now. Asked for at every connection and request; the source may cache for 5 s. */
export interface SandboxPolicy {
  workspaceId: string;
  /** `null`: it prepares an environment, for all its sessions. */
  sessionId: string | null;
  networking: Networking;
  /** `environment_variable` credentials of the session's vaults. */
  credentials: readonly CredentialRule[];
  /** Repositories of the session (`github_repository`). */
  repositories: readonly RepositoryRule[];
}

/**
 * `limited`: exact hosts and `*.example.com` (its subdomains, not itself; semantics §3). The server has put the MCP and
 * package hosts in. `unrestricted`: all but the operator's blocklist, of the same two forms.
 */
export type Networking =
  | { type: "unrestricted"; blockedHosts: readonly string[] }
  | { type: "limited"; allowedHosts: readonly string[] };

/** Where a placeholder becomes its secret. The environment must allow the host as well. */
export interface CredentialRule {
  id: string;
  /** What the sandbox has in its variable: ASCII without anything that JSON, URLs or headers would escape. */
  placeholder: string;
  /** `null`: every host that the environment allows. Else bare hosts, IPv4 addresses and `*.x`. */
  hosts: readonly string[] | null;
  inHeader: boolean;
  inBody: boolean;
}

/**
 * Git's smart protocol over https with this repository gets its token and may pass, also where the environment does not
 * allow the host; nothing else that goes to the host does (semantics §12).
 */
export interface RepositoryRule {
  /** `secretOf` has its token under it. */
  id: string;
  /** As in `AuditRow`: lower case, no trailing dot, no brackets. */
  host: string;
  /** 443, unless its URL has another. */
  port: number;
  /** `/owner/name` as in its URL, without `.git`. Letters, digits, `.`, `_` and `-`: compared as it is. */
  path: string;
}

export interface PolicySource {
  /** `null`: no session has this sandbox (yet, or any more). */
  policyOf(sandboxId: string): Promise<SandboxPolicy | null>;
  /** The secret of a rule of either kind, as it is now; `null`: there is none (any more), and requests go out as they are. */
  secretOf(sandboxId: string, ruleId: string): Promise<string | null>;
}

/** One request of an opened connection, or one tunnel. No path, no header, no body: they may hold secrets. */
export interface AuditRow {
  workspaceId: string | null;
  sessionId: string | null;
  sandboxId: string;
  at: Date;
  durationMs: number;
  /** As asked for; `null` when it could not be read. */
  host: string | null;
  port: number | null;
  verdict: "allowed" | "denied" | "failed";
  /** Which rule decided, or what failed: a fixed word such as `host_not_allowed`, never text of the other side. */
  reason: string | null;
  bytesOut: number;
  bytesIn: number;
  /** Of the rules whose secret was put in. */
  credentialIds: readonly string[];
}

export interface AuditSink {
  /** Never blocks and never throws: rows wait in a bounded queue of the sink. */
  record(row: AuditRow): void;
}

/** A provider as the model gateway reaches it. */
export interface ModelRoute {
  api: "anthropic-messages" | "openai-responses" | "openai-completions";
  /** Without a trailing slash. */
  baseUrl: string;
  apiKey: string;
  /** Not the operator's, but written by whoever uses the API: dialled only where the address guard allows. */
  guarded: boolean;
}

/** One request of a harness to its model (design §7). Times in milliseconds since the request came. */
export interface ModelSpan {
  sessionId: string;
  model: string;
  at: Date;
  /** Of the provider; `null`: it gave none. */
  status: number | null;
  /** From the `retry-after` of its error; `null`: it did not say. */
  retryAfterMs: number | null;
  firstTokenMs: number | null;
  totalMs: number;
  inputTokens: number;
  outputTokens: number;
  cacheReadTokens: number;
  cacheWriteTokens: number;
}

export interface ModelSource {
  /** The session that this token belongs to, if it comes out of its own sandbox; `null`: refuse. */
  sessionOf(sandboxId: string, token: string): Promise<string | null>;
  /** `denied`: a sentence for the harness, when the session may not use this model or nobody serves it. */
  routeOf(sessionId: string, model: string): Promise<ModelRoute | { denied: string }>;
  /**
   * Asked once for each request that would generate, as the last thing before the provider hears of it: programs ask again
   * by themselves. `null`: it may go. `repeats`: the status that the provider has answered before, where that is its reason.
   */
  admit(sandboxId: string, sessionId: string): { denied: string; repeats: number | null } | null;
  record(span: ModelSpan): void;
}
