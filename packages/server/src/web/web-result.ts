import type { ResultContent } from "@sandbox0/protocol";

/** What a web tool gave, as the log shows it and the model reads it. */
export interface WebResult {
  content: ResultContent[];
  isError: boolean;
}

/** The words that the official tools use for what went wrong; a message follows. */
export type WebErrorCode =
  | "invalid_input"
  | "url_too_long"
  | "url_not_allowed"
  | "url_not_in_prior_context"
  | "url_not_accessible"
  | "unsupported_content_type"
  | "unavailable";

export function textResult(text: string): WebResult {
  return { content: [{ type: "text", text }], isError: false };
}

export function webError(code: WebErrorCode, message: string): WebResult {
  return { content: [{ type: "text", text: `${code}: ${message}` }], isError: true };
}

/** Ends a web tool with its error result. */
export class WebToolError extends Error {
  readonly code: WebErrorCode;
  constructor(code: WebErrorCode, message: string) {
    super(message);
    this.name = "WebToolError";
    this.code = code;
  }
}
