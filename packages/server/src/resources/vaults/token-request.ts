import type { CapturedResponse, CredentialAuth } from "@sandbox0/protocol";
import { z } from "zod";
import { captureResponse, readText } from "./captured-response.ts";
import type { Secrets } from "./credential-auth.ts";

/** The guarded one of the server: it reaches only where it may. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** From the request to the end of the answer. */
export const TOKEN_TIMEOUT_MS = 20_000;
const ANSWER_BYTES_MAX = 256 * 1024;
const EXPIRES_IN_SECONDS_MAX = 10 * 365 * 24 * 3_600;

type OAuth = Extract<CredentialAuth, { type: "mcp_oauth" }>;
export type RefreshConfig = NonNullable<OAuth["refresh"]>;

export type TokenAnswer =
  | { status: "succeeded"; accessToken: string; refreshToken: string | null; expiresInSeconds: number | null }
  /** It said no, or something else than a token. */
  | { status: "failed"; response: CapturedResponse }
  | { status: "connect_error" };

const answerSchema = z.object({
  access_token: z.string().regex(/^[\x21-\x7e]+$/),
  refresh_token: z.string().min(1).nullish(),
  expires_in: z.coerce.number().positive().max(EXPIRES_IN_SECONDS_MAX).nullish().catch(null),
});

/** The form of RFC 6749 §6, with the client's authentication of §2.3.1 and the resource of RFC 8707. */
function tokenRequest(config: RefreshConfig, secrets: Secrets): { headers: Record<string, string>; body: URLSearchParams } {
  const body = new URLSearchParams({ grant_type: "refresh_token", refresh_token: secrets.refresh_token ?? "" });
  if (config.scope) body.set("scope", config.scope);
  if (config.resource) body.set("resource", config.resource);
  const headers: Record<string, string> = {
    accept: "application/json",
    "content-type": "application/x-www-form-urlencoded",
  };
  const secret = secrets.client_secret ?? "";
  switch (config.token_endpoint_auth.type) {
    case "none":
      body.set("client_id", config.client_id);
      break;
    case "client_secret_post":
      body.set("client_id", config.client_id);
      body.set("client_secret", secret);
      break;
    case "client_secret_basic":
      headers.authorization = `Basic ${Buffer.from(`${formEncode(config.client_id)}:${formEncode(secret)}`).toString("base64")}`;
      break;
  }
  return { headers, body };
}

const formEncode = (text: string): string => new URLSearchParams({ "": text }).toString().slice(1);

/**
 * Asks a token endpoint for a new access token, once, and follows no redirect with the secrets. Every outcome is a value;
 * nothing of the answer but the tokens, and what `captureResponse` lets through, leaves this function.
 */
export async function requestToken(
  fetch: Fetch,
  config: RefreshConfig,
  secrets: Secrets,
  timeoutMs: number = TOKEN_TIMEOUT_MS,
): Promise<TokenAnswer> {
  const { headers, body } = tokenRequest(config, secrets);
  const known = [
    secrets.refresh_token,
    secrets.client_secret,
    secrets.access_token,
    headers.authorization?.slice("Basic ".length),
  ];
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const response = await fetch(config.token_endpoint, {
      method: "POST",
      headers,
      body: body.toString(),
      redirect: "manual",
      signal,
    });
    return await readAnswer(
      response,
      known.filter((secret) => secret !== undefined),
    );
  } catch {
    // The address is refused, nobody is there, TLS, a broken or endless answer, the time is over: never worth a stack, and
    // the error may hold what the other side said.
    return { status: "connect_error" };
  }
}

async function readAnswer(response: Response, secrets: readonly string[]): Promise<TokenAnswer> {
  if (!response.ok) return { status: "failed", response: await captureResponse(response, secrets) };
  const { text, complete } = await readText(response, ANSWER_BYTES_MAX);
  const answer = complete ? answerSchema.safeParse(parseJson(text)) : undefined;
  if (answer?.success) {
    const { access_token: accessToken, refresh_token: refreshToken, expires_in: expiresInSeconds } = answer.data;
    return { status: "succeeded", accessToken, refreshToken: refreshToken ?? null, expiresInSeconds: expiresInSeconds ?? null };
  }
  const shown = new Response(text, {
    status: response.status,
    headers: { "content-type": response.headers.get("content-type") ?? "" },
  });
  const captured = await captureResponse(shown, secrets);
  return { status: "failed", response: { ...captured, body_truncated: captured.body_truncated || !complete } };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
