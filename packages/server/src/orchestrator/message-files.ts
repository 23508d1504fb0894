import { isUtf8 } from "node:buffer";
import { buffer } from "node:stream/consumers";
import type { Blobs } from "../blobs/blobs.ts";
import { BlobMissing } from "../blobs/port.ts";
import { type BlockType, CONVERSATION_FILE_BYTES_MAX, describeUnfitFile, documentForm } from "../domain/message-files.ts";
import type { TranscriptRow } from "../store/events.ts";
import { type FileRecord, readFiles } from "../store/files.ts";
import type { Queryable } from "../store/query.ts";

/** A block with a file in it, as it is in the log. */
interface FileBlock {
  type: BlockType;
  source: { type: "file"; file_id: string };
  title?: string | null;
}

export interface MessageFilesDeps {
  db: Queryable;
  blobs: Pick<Blobs, "open">;
}

/**
 * The conversation with the content of the files that its messages refer to, which no harness can read. The newest come
 * first when there are more bytes than a request may have; in the place of what cannot be shown is a sentence that says so.
 * @throws BlobsUnavailable
 */
export async function withMessageFiles(
  { db, blobs }: MessageFilesDeps,
  workspaceId: string,
  transcript: readonly TranscriptRow[],
): Promise<readonly TranscriptRow[]> {
  const ids = new Set(
    transcript.flatMap(({ body }) =>
      blocksOf(body)
        .filter(isFileBlock)
        .map(({ source }) => source.file_id),
    ),
  );
  if (ids.size === 0) return transcript;
  const files = new Map((await readFiles(db, workspaceId, [...ids])).map((file) => [file.id, file]));
  let bytesLeft = CONVERSATION_FILE_BYTES_MAX;
  const show = async (block: unknown): Promise<unknown> => {
    if (!isFileBlock(block)) return block;
    const shown = await showFile(blobs, block, files.get(block.source.file_id), bytesLeft);
    bytesLeft -= shown.bytes;
    return shown.block;
  };
  const rows: TranscriptRow[] = [];
  for (const row of transcript.toReversed()) {
    if (!blocksOf(row.body).some(isFileBlock)) {
      rows.push(row);
      continue;
    }
    const content: unknown[] = [];
    for (const block of blocksOf(row.body).toReversed()) content.push(await show(block));
    rows.push({ ...row, body: { ...row.body, content: content.reverse() } });
  }
  return rows.reverse();
}

function blocksOf(body: Record<string, unknown>): readonly unknown[] {
  return Array.isArray(body.content) ? body.content : [];
}

function isFileBlock(block: unknown): block is FileBlock {
  const { type, source } = block as { type: string; source?: { type?: string } };
  return (type === "image" || type === "document") && source?.type === "file";
}

async function showFile(
  blobs: Pick<Blobs, "open">,
  block: FileBlock,
  file: FileRecord | undefined,
  bytesLeft: number,
): Promise<{ block: unknown; bytes: number }> {
  const instead = (why: string) => ({
    block: { type: "text", text: `[${block.type} ${block.source.file_id}: ${why}]` },
    bytes: 0,
  });
  if (file === undefined || file.sha256 === null) return instead("the file was deleted or has expired");
  // What is written again under its id may be another thing by now.
  if (describeUnfitFile(block.type, file) !== null) return instead("the file can no longer be shown");
  if (file.sizeBytes > bytesLeft)
    return instead(`left out: the files of this conversation have more than ${CONVERSATION_FILE_BYTES_MAX} bytes`);
  let bytes: Buffer;
  try {
    bytes = await buffer(await blobs.open(file.sha256));
  } catch (error) {
    if (error instanceof BlobMissing) return instead("the content of the file is lost");
    throw error;
  }
  const source = sourceOf(block.type, file.mimeType, bytes);
  if (source === null) return instead("the file is not text in UTF-8");
  // Providers show it to the model, which else would know the document by nothing.
  const title = block.type === "document" && !block.title ? { title: file.filename } : {};
  return { block: { ...block, ...title, source }, bytes: bytes.length };
}

function sourceOf(type: BlockType, mimeType: string, bytes: Buffer): object | null {
  if (type === "image" || documentForm(mimeType) === "pdf")
    return { type: "base64", media_type: mimeType, data: bytes.toString("base64") };
  return isUtf8(bytes) ? { type: "text", media_type: "text/plain", data: bytes.toString() } : null;
}
