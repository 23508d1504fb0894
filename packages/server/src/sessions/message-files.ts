import { invalidRequest } from "@sandbox0/protocol";
import { type BlockType, describeUnfitFile } from "../domain/message-files.ts";
import { readFiles } from "../store/files.ts";
import type { Queryable } from "../store/query.ts";
import { needUsableFile } from "./new-resources.ts";

interface Reference {
  type: BlockType;
  fileId: string;
  field: string;
}

/**
 * The files that events refer to are there, of the workspace, and something that a model can be shown: better said now than
 * to the model. @param list names the parameter in errors. @throws ApiError
 */
export async function checkMessageFiles(
  db: Queryable,
  workspaceId: string,
  events: readonly object[],
  list: string,
): Promise<void> {
  const references = events.flatMap((event, index) => referencesOf(event, `${list}[${index}]`));
  if (references.length === 0) return;
  const ids = [...new Set(references.map(({ fileId }) => fileId))];
  const files = new Map((await readFiles(db, workspaceId, ids)).map((file) => [file.id, file]));
  const now = new Date();
  for (const { type, fileId, field } of references) {
    const problem = describeUnfitFile(type, needUsableFile(files, fileId, field, now));
    if (problem !== null) throw invalidRequest(`${field}: ${problem}`);
  }
}

interface Block {
  type: string;
  source?: string | { type: string; file_id?: string };
}

function referencesOf(event: { content?: unknown }, at: string): Reference[] {
  // Parsed by the protocol: content is a list of blocks, or is not there.
  const content = (event.content ?? []) as readonly Block[];
  return content.flatMap(({ type, source }, index) => {
    if (typeof source !== "object" || source.type !== "file" || source.file_id === undefined) return [];
    const field = `${at}.content[${index}].source.file_id`;
    return type === "image" || type === "document" ? [{ type, fileId: source.file_id, field }] : [];
  });
}
