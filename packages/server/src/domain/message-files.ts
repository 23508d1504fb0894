/** Files that messages refer to by their ids, as the model is shown them (contract §7.2). */
const IMAGE_TYPES: ReadonlySet<string> = new Set(["image/jpeg", "image/png", "image/gif", "image/webp"]);
const PDF_TYPE = "application/pdf";
/** Besides `text/*`: texts by another name. */
const TEXT_TYPES: ReadonlySet<string> = new Set([
  "application/json",
  "application/xml",
  "application/yaml",
  "application/x-ndjson",
]);

/** What providers take of one image, and of one document. */
export const IMAGE_BYTES_MAX = 5 * 1024 * 1024;
export const DOCUMENT_BYTES_MAX = 20 * 1024 * 1024;
/** Of all files of a conversation: as base64, what a request to a provider may have, and room for the rest. */
export const CONVERSATION_FILE_BYTES_MAX = 20 * 1024 * 1024;

export type BlockType = "image" | "document";

/** As what a document is shown to the model; `null`: no document. */
export function documentForm(mimeType: string): "pdf" | "text" | null {
  if (mimeType === PDF_TYPE) return "pdf";
  return mimeType.startsWith("text/") || TEXT_TYPES.has(mimeType) ? "text" : null;
}

/** Why a file cannot be a block of a message, as a sentence; `null`: it can. */
export function describeUnfitFile(type: BlockType, file: { id: string; mimeType: string; sizeBytes: number }): string | null {
  const fits = type === "image" ? IMAGE_TYPES.has(file.mimeType) : documentForm(file.mimeType) !== null;
  if (!fits) {
    const accepted = type === "image" ? [...IMAGE_TYPES].join(", ") : `${PDF_TYPE} or text`;
    return `File \`${file.id}\` is ${file.mimeType}; ${type} blocks take ${accepted}. Mount it as a resource of the session instead.`;
  }
  if (file.sizeBytes === 0) return `File \`${file.id}\` is empty.`;
  const bytesMax = type === "image" ? IMAGE_BYTES_MAX : DOCUMENT_BYTES_MAX;
  if (file.sizeBytes <= bytesMax) return null;
  return `File \`${file.id}\` has ${file.sizeBytes} bytes; ${type} blocks take at most ${bytesMax}. Mount it as a resource of the session instead.`;
}
