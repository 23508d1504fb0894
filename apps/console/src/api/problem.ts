import { APIConnectionError, APIError } from "@anthropic-ai/sdk";

export interface Problem {
  title: string;
  message: string;
  requestId: string | null;
}

const TITLES: Record<number, string> = {
  400: "The server refused this",
  401: "Not signed in",
  403: "Not allowed",
  404: "Not found",
  409: "Something has changed meanwhile",
  413: "Too large",
  429: "Too much at once",
  501: "This server does not offer that",
  503: "Not available right now",
};

/** What an error means for a person. */
export function describeProblem(error: unknown): Problem {
  if (error instanceof APIConnectionError) {
    return { title: "The server cannot be reached", message: "Check that it runs, then try again.", requestId: null };
  }
  if (error instanceof APIError) {
    const title = TITLES[error.status ?? 0] ?? "Something went wrong";
    return { title, message: messageOf(error), requestId: error.requestID ?? null };
  }
  return { title: "Something went wrong", message: error instanceof Error ? error.message : String(error), requestId: null };
}

/** One line, for toasts and forms. */
export function problemText(error: unknown): string {
  return describeProblem(error).message;
}

/** The server's own sentence, without the status and JSON that the SDK puts around it. */
function messageOf(error: InstanceType<typeof APIError>): string {
  const body: unknown = error.error;
  if (typeof body === "object" && body !== null && "error" in body) {
    const inner = body.error;
    if (typeof inner === "object" && inner !== null && "message" in inner && typeof inner.message === "string")
      return inner.message;
  }
  return error.message;
}

export function isSignedOut(error: unknown): boolean {
  return error instanceof APIError && error.status === 401;
}
