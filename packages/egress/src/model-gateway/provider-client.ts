import { Readable } from "node:stream";
import type { buildConnector, Dispatcher } from "undici";
import type { AddressGuard } from "../address-guard.ts";
import { EgressError } from "../egress-error.ts";
import type { ModelGatewayLimits } from "./limits.ts";
import { Refusal } from "./refusal.ts";

export type ProviderAnswer = Dispatcher.ResponseData;

export interface ProviderRequest {
  url: URL;
  /** Only to an address that the guard allows. */
  guarded: boolean;
  headers: Record<string, string | string[]>;
  body: Buffer;
  signal: AbortSignal;
}

/** Connections to providers: to exactly the address that is configured, without following where it sends. */
export interface ProviderClient {
  /** Resolves with the head of the answer. Rejects with a `Refusal` that holds nothing of the provider's. */
  send(request: ProviderRequest): Promise<ProviderAnswer>;
  close(): Promise<void>;
}

export function createProviderClient(guard: AddressGuard, limits: ModelGatewayLimits): ProviderClient {
  const { connectTimeoutMs: timeout, silenceMs } = limits;
  // At the first request: a server that starts does not wait for the library.
  let connections: ReturnType<typeof open> | undefined;
  const open = async () => {
    const { Agent, buildConnector, request } = await import("undici");
    const options = { headersTimeout: silenceMs, bodyTimeout: silenceMs, allowH2: false };
    const direct = new Agent({ ...options, connect: { timeout } });
    const checked = new Agent({ ...options, connect: guardedConnector(guard, buildConnector, timeout) });
    return { request, direct, checked };
  };
  return {
    async send({ url, guarded, body, ...rest }) {
      connections ??= open();
      const { request, direct, checked } = await connections;
      const dispatcher = guarded ? checked : direct;
      let answer: ProviderAnswer;
      try {
        answer = await request(url, { ...rest, body: Readable.from(once(body)), method: "POST", dispatcher });
      } catch (error) {
        throw new Refusal("provider", `The model provider could not be reached (${codeOf(error)}).`);
      }
      const problem = problemOf(answer);
      if (problem === null) return answer;
      // The destroyed body of an answer that nobody reads says so once more.
      answer.body.on("error", () => undefined).destroy();
      throw new Refusal("provider", problem);
    },
    close: async () => {
      const opened = await connections;
      await Promise.all([opened?.direct.destroy(), opened?.checked.destroy()]);
    },
  };
}

function guardedConnector(guard: AddressGuard, build: typeof buildConnector, timeout: number): buildConnector.connector {
  const startTls = build({ timeout, allowH2: false });
  return (asked, done) => {
    const secure = asked.protocol === "https:";
    guard.dial(asked.hostname, Number(asked.port) || (secure ? 443 : 80), AbortSignal.timeout(timeout)).then(
      (httpSocket) => (secure ? startTls({ ...asked, httpSocket }, done) : done(null, httpSocket)),
      (error: Error) => done(error, null),
    );
  };
}

function problemOf({ statusCode, headers }: ProviderAnswer): string | null {
  if (statusCode >= 300 && statusCode < 400) return "The model provider answered with a redirect, which is not followed.";
  const encoding = headers["content-encoding"];
  // What cannot be read cannot be searched for the key.
  if (encoding !== undefined && encoding !== "identity")
    return "The model provider answered in an encoding that it was not asked for.";
  return null;
}

/** A buffer would be kept until the answer has ended, and answers take minutes. */
function* once(body: Buffer): Generator<Buffer> {
  yield body;
}

/** A code of Node's, undici's or ours, never a message: those name addresses. */
function codeOf(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof EgressError) return at.reason;
    const code = "code" in at ? at.code : undefined;
    if (typeof code === "string" && /^[A-Z][A-Z0-9_]{2,40}$/.test(code)) return code;
  }
  return "no connection";
}
