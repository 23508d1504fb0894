import type { Page } from "./get-page.ts";
import { type ExtractAnswer, type Extractor, TEXT_CHARS_MAX } from "./extractor.ts";
import { WebToolError } from "./web-result.ts";

const TEXT_TYPE =
  /^text\/|^application\/(?:json|xml|javascript|ecmascript|yaml|x-yaml|toml|x-ndjson|sql|graphql)$|[+](?:json|xml|yaml)$/;
const HTML_TYPE = /^(?:text\/html|application\/xhtml[+]xml)$/;
/** Says nothing of what it is. */
const UNKNOWN_TYPE = /^(?:|application\/octet-stream|binary\/octet-stream)$/;
const SNIFFED_BYTES = 1_024;

export interface PageText {
  /** `binary`: the words were read out of a document (PDF). */
  kind: "text" | "binary";
  title: string | null;
  text: string;
}

/** The text of a page that is HTML, PDF, or text of any sort. @throws WebToolError for anything else, and for what cannot be read */
export async function pageText(page: Page, extractor: Extractor, signal: AbortSignal): Promise<PageText> {
  const type = typeOf(page);
  if (type === null)
    throw new WebToolError(
      "unsupported_content_type",
      `${page.mediaType || "content without a type"} cannot be read as text; only HTML, PDF and text can`,
    );
  const { bytes, url } = page;
  if (type === "pdf") {
    const answer = await extractor.extract({ kind: "pdf", bytes, charsMax: TEXT_CHARS_MAX }, signal);
    return { kind: "binary", ...readable(answer) };
  }
  const charset = charsetOf(page, type);
  if (type === "text") return { kind: "text", title: null, text: new TextDecoder(charset).decode(bytes) };
  const job = { kind: "html", bytes, charset, url: url.href, charsMax: TEXT_CHARS_MAX } as const;
  return { kind: "text", ...readable(await extractor.extract(job, signal)) };
}

function readable(answer: ExtractAnswer): { title: string | null; text: string } {
  if (!answer.ok) throw new WebToolError("url_not_accessible", `the document was found, but ${answer.message}`);
  return { title: answer.title, text: answer.text };
}

function typeOf({ mediaType, bytes }: Page): "html" | "pdf" | "text" | null {
  const start = Buffer.from(bytes.subarray(0, SNIFFED_BYTES)).toString("latin1");
  const isPdf = start.startsWith("%PDF-");
  if (mediaType === "application/pdf" || (isPdf && UNKNOWN_TYPE.test(mediaType))) return "pdf";
  if (HTML_TYPE.test(mediaType)) return "html";
  if (TEXT_TYPE.test(mediaType)) return "text";
  if (!UNKNOWN_TYPE.test(mediaType) || start.includes("\0")) return null;
  return /^\s*<(?:!doctype html|html)/i.test(start) ? "html" : "text";
}

/** What the server says, else what the page says of itself, else UTF-8; a name that nobody knows is UTF-8 as well. */
function charsetOf({ charset, bytes }: Page, type: "html" | "text"): string {
  const own = () =>
    /<meta[^>]{0,200}charset\s*=\s*["']?([\w:.-]{1,40})/i.exec(
      Buffer.from(bytes.subarray(0, SNIFFED_BYTES)).toString("latin1"),
    )?.[1];
  const name = charset ?? (type === "html" ? own() : undefined) ?? "utf-8";
  try {
    return new TextDecoder(name).encoding;
  } catch (error) {
    if (error instanceof RangeError) return "utf-8";
    throw error;
  }
}
