import { EgressError } from "@sandbox0/egress";
import {
  InsufficientScopeError,
  ProtocolError,
  SdkError,
  SdkErrorCode,
  SdkHttpError,
  SseError,
} from "@modelcontextprotocol/client";
import { DatabaseUnavailable } from "../store/database-error.ts";
import { McpFailure } from "./mcp-failure.ts";

/** A JSON-RPC code of our own: the stream of a call ended without its answer. */
export const STREAM_ENDED = -32_099;

/** The HTTP status that an error carries, when it came from one. */
export function statusOf(error: unknown): number | null {
  if (error instanceof SdkHttpError) return error.status;
  if (error instanceof SseError) return error.code ?? null;
  return null;
}

/**
 * @param stated what the connection itself found out, before the library only saw its stream end
 * @throws DatabaseUnavailable, which says nothing of the server
 */
export function toMcpFailure(error: unknown, stated: McpFailure | null = null): McpFailure {
  if (stated) return stated;
  if (error instanceof DatabaseUnavailable) throw error;
  const known = causesOf(error).find((each) => each instanceof McpFailure);
  if (known) return known;
  const refused = causesOf(error).find((each) => each instanceof EgressError);
  if (refused) return new McpFailure("connection", refused.message);
  if (error instanceof InsufficientScopeError)
    return new McpFailure("authentication", "the credential does not have the rights that the server asks for (HTTP 403)");
  const status = statusOf(error);
  if (status === 401) return new McpFailure("authentication", "the server refused the credential (HTTP 401)");
  if (status === 403) return new McpFailure("authentication", "the server denied access (HTTP 403)");
  if (status !== null && status >= 300 && status < 400)
    return new McpFailure("connection", `the server redirects elsewhere (HTTP ${status}), which is not followed`);
  if (status !== null && status >= 400) return new McpFailure("connection", `the server answered with HTTP ${status}`);
  if (error instanceof ProtocolError && error.code === STREAM_ENDED)
    return new McpFailure("connection", "the connection ended before it answered");
  if (error instanceof ProtocolError) return new McpFailure("connection", `the server answered with the MCP error ${error.code}`);
  if (error instanceof SdkError) return ofSdk(error);
  return new McpFailure("connection", networkReason(error) ?? "what it sent is not MCP");
}

function ofSdk(error: SdkError): McpFailure {
  switch (error.code) {
    case SdkErrorCode.RequestTimeout:
      return new McpFailure("connection", "it did not answer in time");
    case SdkErrorCode.ConnectionClosed:
    case SdkErrorCode.NotConnected:
      return new McpFailure("connection", "the connection was closed before it answered");
    case SdkErrorCode.UnsupportedResultType:
    case SdkErrorCode.InputRequiredRoundsExceeded:
      return new McpFailure("connection", "it asks for input in the middle of a call, which this server cannot give");
    case SdkErrorCode.EraNegotiationFailed:
      return new McpFailure("connection", networkReason(error) ?? "no common version of the protocol was found");
    default:
      return new McpFailure("connection", networkReason(error) ?? "what it sent is not MCP");
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection was reset",
  EPIPE: "the connection was reset",
  UND_ERR_SOCKET: "the connection was reset",
  ENOTFOUND: "its host name is not known",
  EAI_AGAIN: "its host name could not be looked up",
  ETIMEDOUT: "the connection timed out",
  UND_ERR_CONNECT_TIMEOUT: "the connection timed out",
  UND_ERR_HEADERS_TIMEOUT: "it did not answer in time",
  UND_ERR_BODY_TIMEOUT: "it did not answer in time",
  EHOSTUNREACH: "its host cannot be reached",
  ENETUNREACH: "its host cannot be reached",
};

function networkReason(error: unknown): string | null {
  for (const each of causesOf(error)) {
    const { code } = each as { code?: unknown };
    if (typeof code !== "string") continue;
    if (REASONS[code]) return REASONS[code];
    if (/TLS|CERT|SSL/.test(code)) return "its TLS certificate is not trusted, or TLS failed";
  }
  // What fetch says of everything that is no answer.
  const isUnreached = causesOf(error).some((each) => each instanceof TypeError && each.message === "fetch failed");
  return isUnreached ? "it cannot be reached" : null;
}

const CAUSES_MAX = 8;

/** The error, what caused it, and so on; of errors that stand for several, the first. */
function causesOf(error: unknown): Error[] {
  const causes: Error[] = [];
  for (let each = error; each instanceof Error && causes.length < CAUSES_MAX; ) {
    causes.push(each);
    each = each instanceof AggregateError ? (each.errors[0] as unknown) : each.cause;
  }
  return causes;
}
