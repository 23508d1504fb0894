import { Readable } from "node:stream";
import { Agent, type Dispatcher, request } from "undici";
import type { ModelGatewayLimits } from "./limits.ts";
import { Refusal } from "./refusal.ts";

export type ProviderAnswer = Dispatcher.ResponseData;

export interface ProviderRequest {
  url: URL;
  headers: Record<string, string | string[]>;
  body: Buffer;
  signal: AbortSignal;
}

/** Connections to providers: to exactly the address that the operator wrote, without following where it sends. */
export interface ProviderClient {
  /** Resolves with the head of the answer. Rejects with a `Refusal` that holds nothing of the provider's. */
  send(request: ProviderRequest): Promise<ProviderAnswer>;
  close(): Promise<void>;
}

export function createProviderClient({ connectTimeoutMs, silenceMs }: ModelGatewayLimits): ProviderClient {
  const agent = new Agent({
    connect: { timeout: connectTimeoutMs },
    headersTimeout: silenceMs,
    bodyTimeout: silenceMs,
    allowH2: false,
  });
  return {
    async send({ url, body, ...options }) {
      let answer: ProviderAnswer;
      try {
        answer = await request(url, { ...options, body: Readable.from(once(body)), method: "POST", dispatcher: agent });
      } catch (error) {
        throw new Refusal("provider", `The model provider could not be reached (${codeOf(error)}).`);
      }
      const problem = problemOf(answer);
      if (problem === null) return answer;
      // The destroyed body of an answer that nobody reads says so once more.
      answer.body.on("error", () => undefined).destroy();
      throw new Refusal("provider", problem);
    },
    close: () => agent.destroy(),
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

/** A code of Node's or undici's, never a message: those name addresses. */
function codeOf(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = "code" in at ? at.code : undefined;
    if (typeof code === "string" && /^[A-Z][A-Z0-9_]{2,40}$/.test(code)) return code;
  }
  return "no connection";
}
