import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Anthropic from "@anthropic-ai/sdk";
import { createScriptedProvider, type ScriptedProvider, type ScriptedProviderOptions } from "@sandbox0/testkit";
import { Agent, fetch, type RequestInit, type Response } from "undici";
import { createAddressGuard } from "../address-guard.ts";
import type { ModelRoute, ModelSource, ModelSpan, Networking, PolicySource } from "../port.ts";
import type { ModelGatewayLimits } from "./limits.ts";
import { createModelGateway, type ModelGateway } from "./model-gateway.ts";
import { createSessionTokens } from "./session-tokens.ts";

/** What no sandbox may ever see. */
export const PROVIDER_KEY = "sk-canary-provider-key-0123456789";
export const SANDBOX = "sbx_1";
export const SESSION = "sesn_1";

const APIS: Readonly<Record<string, ModelRoute["api"]>> = {
  "claude-test": "anthropic-messages",
  "gpt-test": "openai-responses",
  "open-test": "openai-completions",
};

export interface GatewayStageOptions {
  limits?: Partial<ModelGatewayLimits>;
  networking?: Networking;
  /** Instead of the scripted provider's. */
  baseUrl?: string;
  provider?: ScriptedProviderOptions;
  /** The provider is not the operator's. */
  guarded?: boolean;
  /** What the operator opens. */
  allowPrivate?: readonly string[];
}

export interface GatewayStage {
  provider: ScriptedProvider;
  tokens: ReturnType<typeof createSessionTokens>;
  token: string;
  spans: ModelSpan[];
  problems: unknown[];
  /** When set, the next question to the source is rejected with it. */
  failWith: Error | null;
  /** What the source says to every request that would generate. */
  refused: ReturnType<ModelSource["admit"]>;
  socketPath: string;
  gateway: ModelGateway;
  /** Requests whose head has come. */
  received(): number;
  /** Through the sandbox's socket, as a harness would. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** A JSON body with the session's token, as OpenAI's clients send it. */
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>;
  anthropic(apiKey?: string): Anthropic;
  close(): Promise<void>;
}

/** A model gateway on a Unix socket before the scripted provider. */
export async function createGatewayStage(options: GatewayStageOptions = {}): Promise<GatewayStage> {
  const provider = await createScriptedProvider({ apiKey: PROVIDER_KEY, ...options.provider });
  const dir = await mkdtemp(join(tmpdir(), "model-gateway-"));
  const socketPath = join(dir, "egress.sock");
  const tokens = createSessionTokens(Buffer.alloc(32, 7));
  const token = tokens.issue(SANDBOX, SESSION, "sthr_1");
  const dispatcher = new Agent({ connect: { socketPath } });
  const [spans, problems]: [ModelSpan[], unknown[]] = [[], []];
  const gateway = createModelGateway({
    models: {
      async sessionOf(sandboxId, token) {
        if (stage.failWith) throw stage.failWith;
        return tokens.sessionOf(sandboxId, token);
      },
      routeOf: async (_session, model) => routeTo(provider.url, model, options),
      admit: () => stage.refused,
      record: (span) => void spans.push(span),
    },
    policies: policiesOf(options.networking ?? { type: "limited", allowedHosts: [] }),
    guard: createAddressGuard({ allowPrivate: options.allowPrivate ?? [], forbidden: () => [] }),
    onProblem: (error) => void problems.push(error),
    ...(options.limits && { limits: options.limits }),
  });
  let received = 0;
  const server = createServer();
  for (const event of ["request", "checkContinue"] as const)
    server.on(event, (req, res) => {
      received += 1;
      gateway.handle(req, res, SANDBOX);
    });
  server.listen(socketPath);
  await once(server, "listening");
  const send: GatewayStage["fetch"] = (path, init) => fetch(`http://127.0.0.1${path}`, { dispatcher, ...init });
  const stage: GatewayStage = {
    provider,
    tokens,
    token,
    spans,
    problems,
    failWith: null,
    refused: null,
    socketPath,
    gateway,
    received: () => received,
    fetch: send,
    post: (path, body, init = {}) =>
      send(path, {
        method: "POST",
        body: typeof body === "string" ? body : JSON.stringify(body),
        ...init,
        headers: { "content-type": "application/json", authorization: `Bearer ${token}`, ...(init.headers as object) },
      }),
    anthropic: (apiKey = token) =>
      new Anthropic({
        apiKey,
        baseURL: "http://127.0.0.1/model",
        maxRetries: 0,
        fetch: ((url: string, init: RequestInit) => fetch(url, { ...init, dispatcher })) as unknown as typeof globalThis.fetch,
      }),
    async close() {
      await dispatcher.destroy();
      await gateway.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await provider.close();
      await rm(dir, { recursive: true });
    },
  };
  return stage;
}

function routeTo(providerUrl: string, model: string, options: GatewayStageOptions): ModelRoute | { denied: string } {
  const api = APIS[model];
  if (api === undefined) return { denied: `The session may not use the model ${model}.` };
  const baseUrl = options.baseUrl ?? providerUrl + (api === "anthropic-messages" ? "" : "/v1");
  return { api, baseUrl, apiKey: PROVIDER_KEY, guarded: options.guarded ?? false };
}

function policiesOf(networking: Networking): PolicySource {
  return {
    policyOf: async () => ({ workspaceId: "wrkspc_1", sessionId: SESSION, networking, credentials: [], repositories: [] }),
    secretOf: async () => null,
  };
}
