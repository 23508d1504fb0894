import type { JsonSchema } from "./openapi-schemas.ts";

/** What many operations share: parameters, headers and errors, as components of the document. */
const text: JsonSchema = { type: "string" };
const reference = (kind: string, name: string) => ({ $ref: `#/components/${kind}/${name}` });

const PARAMETERS: Readonly<Record<string, { name: string; description: string }>> = {
  AnthropicVersion: { name: "anthropic-version", description: "What the SDKs send. Any value is accepted." },
  AnthropicBeta: {
    name: "anthropic-beta",
    description:
      "A list of betas, joined by commas. None is needed; `files-api-2025-04-14` and `skills-2025-10-02` select older shapes of files and skills.",
  },
  AnthropicWorkspaceId: {
    name: "anthropic-workspace-id",
    description: "Must be the key's own workspace, if it is sent; else 403.",
  },
  Traceparent: { name: "traceparent", description: "W3C trace context: the session's trace becomes a part of the client's." },
};

const HEADERS: Readonly<Record<string, { description: string; schema: JsonSchema }>> = {
  RequestId: { description: "Names the request, in the server's log too.", schema: text },
  AnthropicWorkspaceId: { description: "The workspace of the key.", schema: text },
  XShouldRetry: {
    description: "`false`: the same request would fail again. The SDKs obey.",
    schema: { type: "string", enum: ["true", "false"] },
  },
  RetryAfter: { description: "Seconds after which to try again.", schema: { type: "integer" } },
};

const ERRORS: Readonly<Record<string, readonly [status: string, description: string]>> = {
  InvalidRequest: ["400", "`invalid_request_error`: the message names the field and the rule."],
  AuthenticationError: ["401", "`authentication_error`: no key, an unknown one, or both key headers at once."],
  PermissionError: ["403", "`permission_error`: the key may not."],
  NotFound: ["404", "`not_found_error`: there is none, or it is another workspace's."],
  Conflict: ["409", "`conflict_error`, `memory_precondition_failed_error` or `memory_path_conflict_error`."],
  TooLarge: ["413", "`request_too_large`."],
  RateLimit: ["429", "`rate_limit_error`: too much waits already."],
  InternalError: ["500", "`api_error`: a bug of the server; its log has the request id."],
  NotBuilt: ["501", "`api_error` with `x-should-retry: false`: this server does not do that."],
  Unavailable: ["503", "`api_error`: the database, the blob store or a node is away. Try again."],
  Overloaded: ["529", "`overloaded_error`: too many requests at once. Try again."],
};
const STATUS_OF = Object.fromEntries(Object.entries(ERRORS).map(([name, [status]]) => [status, name]));

/** By its status, for the `responses` of an operation. */
export function errorResponses(statuses: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(statuses.map((status) => [status, reference("responses", STATUS_OF[status] ?? "")]));
}

export const headerReferences = {
  "request-id": reference("headers", "RequestId"),
  "anthropic-workspace-id": reference("headers", "AnthropicWorkspaceId"),
};

/** Those that any operation takes. */
export const sharedParameters = ["AnthropicVersion", "AnthropicBeta", "AnthropicWorkspaceId"].map((name) =>
  reference("parameters", name),
);
export const traceparentParameter = reference("parameters", "Traceparent");

/** `parameters`, `headers`, `responses` and `securitySchemes` of the components. */
export function sharedComponents(error: JsonSchema): Record<string, unknown> {
  const headers = {
    "request-id": reference("headers", "RequestId"),
    "x-should-retry": reference("headers", "XShouldRetry"),
    "retry-after": reference("headers", "RetryAfter"),
  };
  return {
    parameters: Object.fromEntries(
      Object.entries(PARAMETERS).map(([name, parameter]) => [
        name,
        { ...parameter, in: "header", required: false, schema: text },
      ]),
    ),
    headers: HEADERS,
    responses: Object.fromEntries(
      Object.entries(ERRORS).map(([name, [, description]]) => [
        name,
        { description, headers, content: { "application/json": { schema: error } } },
      ]),
    ),
    securitySchemes: {
      bearer: { type: "http", scheme: "bearer", description: "As SDKs from 1.0 send it." },
      apiKey: { type: "apiKey", in: "header", name: "x-api-key", description: "As older SDKs send it. Not both." },
    },
  };
}
