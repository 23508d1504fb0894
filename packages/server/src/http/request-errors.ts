import { ApiError, type ErrorBody } from "@sandbox0/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";

/** Seconds after which a client may try again when the server could not take the request. */
const RETRY_AFTER_SECONDS = 1;

export interface Logger {
  error(fields: { err?: unknown; [field: string]: unknown }, message: string): void;
}

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;

const statusOf = (error: unknown): number | undefined =>
  error instanceof Error && "statusCode" in error && typeof error.statusCode === "number" ? error.statusCode : undefined;

/** The framework's own errors, in the words of this API (contract §1.4). */
const FRAMEWORK_ERRORS: Record<string, () => ApiError> = {
  FST_ERR_CTP_BODY_TOO_LARGE: () => bodyTooLarge(),
  FST_ERR_CTP_INVALID_MEDIA_TYPE: () => new ApiError("invalid_request_error", "content-type: must be application/json"),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: () =>
    new ApiError("invalid_request_error", "The size of the request body does not match content-length"),
  FST_ERR_BAD_URL: () => new ApiError("invalid_request_error", "The URL is not valid: its path cannot be decoded"),
};

export const BODY_BYTES_MAX = 32 * 1024 * 1024;

export function bodyTooLarge(code?: string): ApiError {
  const details = code === undefined ? {} : { details: { error_code: code } };
  return new ApiError("request_too_large", `The request body exceeds ${BODY_BYTES_MAX} bytes`, details);
}

/** `server/store` says so by this code; `http` may not import it (design §3). */
function describeUnavailable(error: Error): ApiError {
  // After a commit whose outcome is unknown the SDK's own retry could do the work twice: the client must look first.
  const unknownOutcome = "outcomeUnknown" in error && error.outcomeUnknown === true;
  return new ApiError("api_error", "The service is temporarily unavailable; try again in a moment.", {
    status: 503,
    retryAfterSeconds: RETRY_AFTER_SECONDS,
    ...(unknownOutcome ? { shouldRetry: false } : {}),
  });
}

/** `server/blobs` says so by this code; `http` may not import it (design §3). A full disk does not empty itself. */
function describeNoBlobs(error: Error): ApiError {
  const full = "reason" in error && error.reason === "full";
  return new ApiError("api_error", `The storage of this server is ${full ? "full" : "unavailable; try again in a moment"}.`, {
    status: 503,
    ...(full ? { shouldRetry: false } : { retryAfterSeconds: RETRY_AFTER_SECONDS }),
  });
}

export function overloaded(message: string): ApiError {
  return new ApiError("overloaded_error", message, { retryAfterSeconds: RETRY_AFTER_SECONDS });
}

/** What the client is told; `undefined` for a bug, whose message stays inside. */
export function toApiError(error: unknown): ApiError | undefined {
  if (error instanceof ApiError) return error;
  const code = codeOf(error);
  if (code === "database_unavailable" && error instanceof Error) return describeUnavailable(error);
  if (code === "blobs_unavailable" && error instanceof Error) return describeNoBlobs(error);
  if (code !== undefined && Object.hasOwn(FRAMEWORK_ERRORS, code)) return FRAMEWORK_ERRORS[code]?.();
  const status = statusOf(error);
  if (status !== undefined && status >= 400 && status < 500 && error instanceof Error) {
    return new ApiError("invalid_request_error", error.message);
  }
  return undefined;
}

export function errorBody(error: ApiError, requestId: string | null): ErrorBody {
  const details = error.details === undefined ? {} : { details: error.details };
  return {
    type: "error",
    error: { type: error.type, message: error.message, ...details, ...error.fields },
    request_id: requestId,
  };
}

/** The headers that tell a client whether to try again (contract §1.8). */
export function retryHeaders(error: ApiError): Record<string, string> {
  return {
    ...(error.shouldRetry === undefined ? {} : { "x-should-retry": String(error.shouldRetry) }),
    ...(error.retryAfterSeconds === undefined ? {} : { "retry-after": String(error.retryAfterSeconds) }),
  };
}

/**
 * The framework would close the connection of a body that it does not read, and a client that is still sending it would
 * see a reset in place of the answer. What is left of the body is thrown away as it comes, for as long as a request may take.
 */
function takeRest(request: FastifyRequest, reply: FastifyReply): void {
  reply.removeHeader("connection");
  request.raw.resume();
}

/** Answers any error in the official shape; a bug is logged whole and answered with nothing but its request id. */
export function createErrorHandler(logger: Logger) {
  return async (error: unknown, request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    let answer = toApiError(error);
    if (answer === undefined) {
      const gone = request.raw.destroyed && !request.raw.complete;
      if (!gone)
        logger.error(
          { err: error, requestId: request.id, method: request.method, route: request.routeOptions.url },
          "request failed",
        );
      answer = new ApiError("api_error", "Internal server error");
    }
    if (!request.raw.complete) takeRest(request, reply);
    await reply
      .code(answer.status)
      .headers(retryHeaders(answer))
      .header("content-type", "application/json")
      .send(JSON.stringify(errorBody(answer, request.id)));
  };
}
