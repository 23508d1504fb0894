/** The error table (contract §1.7): the only errors that cross HTTP. */
export const ERROR_STATUS = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  conflict_error: 409,
  memory_precondition_failed_error: 409,
  memory_path_conflict_error: 409,
  request_too_large: 413,
  rate_limit_error: 429,
  api_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
} as const;

export type ErrorType = keyof typeof ERROR_STATUS;

export interface ErrorDetails {
  /** A machine-readable code of contract §1.7, such as `environment_archived`. */
  error_code?: string;
  [extra: string]: unknown;
}

/** What some types say besides, next to their message (contract §10). */
export interface ErrorFields {
  conflicting_memory_id?: string;
  conflicting_path?: string;
}

export interface ErrorBody {
  type: "error";
  error: { type: ErrorType; message: string; details?: ErrorDetails } & ErrorFields;
  request_id: string | null;
}

/** An answer to the client. Everything else that is thrown is a bug and becomes a 500 whose message says nothing. */
export class ApiError extends Error {
  readonly type: ErrorType;
  readonly status: number;
  readonly details: ErrorDetails | undefined;
  readonly fields: ErrorFields;
  /** `false` sends `x-should-retry: false`: the same request would fail again. `undefined` leaves it to the SDK. */
  readonly shouldRetry: boolean | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(
    type: ErrorType,
    message: string,
    options: {
      status?: number;
      details?: ErrorDetails;
      fields?: ErrorFields;
      shouldRetry?: boolean;
      retryAfterSeconds?: number;
    } = {},
  ) {
    super(message);
    this.name = "ApiError";
    this.type = type;
    this.status = options.status ?? ERROR_STATUS[type];
    this.details = options.details;
    this.fields = options.fields ?? {};
    // Every deterministic conflict: the SDK would retry a 409 twice (contract §1.8).
    this.shouldRetry = options.shouldRetry ?? (this.status === 409 ? false : undefined);
    this.retryAfterSeconds = options.retryAfterSeconds;
  }
}

export function invalidRequest(message: string, details?: ErrorDetails): ApiError {
  return new ApiError("invalid_request_error", message, details ? { details } : {});
}

export function notFound(message: string): ApiError {
  return new ApiError("not_found_error", message);
}
