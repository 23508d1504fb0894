import { APIError } from "@anthropic-ai/sdk";
import type { Memory, MemoryUpdateParams } from "@sandbox0/protocol";

/** What an edit asks for: what was changed, if the text is still the one it began with. */
export function memoryUpdateParams(
  began: Pick<Memory, "path" | "content" | "content_sha256">,
  now: { path: string; content: string },
): MemoryUpdateParams {
  return {
    ...(now.path !== began.path && { path: now.path }),
    ...(now.content !== (began.content ?? "") && { content: now.content }),
    precondition: { type: "content_sha256", content_sha256: began.content_sha256 },
  };
}

/** Whether somebody else changed the text meanwhile (contract §10). */
export function isEditConflict(error: unknown): boolean {
  return error instanceof APIError && error.status === 409 && typeOf(error) === "memory_precondition_failed_error";
}

function typeOf(error: InstanceType<typeof APIError>): unknown {
  const body: unknown = error.error;
  if (typeof body !== "object" || body === null || !("error" in body)) return undefined;
  const inner = body.error;
  return typeof inner === "object" && inner !== null && "type" in inner ? inner.type : undefined;
}
