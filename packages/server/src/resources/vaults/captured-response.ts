import type { CapturedResponse } from "@sandbox0/protocol";
import { readStart } from "../read-start.ts";

/** Shown of the body of an answer that says no. */
export const CAPTURED_CHARS_MAX = 4_096;
const CONTENT_TYPE_CHARS_MAX = 255;
const REDACTED = "[redacted]";

/** Values of JSON and form fields that name a secret, and what follows an authentication scheme. */
const SECRET_FIELDS =
  /("(?:[a-z_]*(?:token|secret|password|assertion|authorization|api_?key)[a-z_]*)"\s*:\s*)"(?:[^"\\]|\\.)*("|$)|(\b[a-z_]*(?:token|secret|password|assertion|api_?key)=)[^&\s"'<>]+|(\b(?:bearer|basic)\s+)[a-z0-9._~+/=-]+/gi;

/**
 * A text of another server with nothing secret in it: neither ours, in any form in which a server may say it back, nor what
 * looks like one.
 */
export function scrub(text: string, secrets: readonly string[]): string {
  const forms = secrets.flatMap(formsOf).sort((a, b) => b.length - a.length);
  let clean = text;
  for (const form of forms) clean = clean.replaceAll(form, REDACTED);
  return clean.replace(SECRET_FIELDS, (_all, json?: string, quote?: string, form?: string, scheme?: string) =>
    json === undefined ? `${form ?? scheme ?? ""}${REDACTED}` : `${json}"${REDACTED}${quote ?? ""}`,
  );
}

function formsOf(secret: string): string[] {
  const bytes = Buffer.from(secret);
  const percent = encodeURIComponent(secret);
  const json = JSON.stringify(secret).slice(1, -1);
  const html = secret.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
  const forms = [
    secret,
    percent,
    percent.toLowerCase(),
    percent.replaceAll("%20", "+"),
    json,
    json.replaceAll("/", "\\/"),
    html,
    bytes.toString("base64"),
    bytes.toString("base64url"),
    bytes.toString("hex"),
  ];
  return [...new Set(forms)].filter((form) => form !== "");
}

/**
 * What may be shown of an answer. Reads no more of its body than is needed, and gives the connection up.
 * @throws what `fetch` throws when the body breaks off or the signal fires
 */
export async function captureResponse(response: Response, secrets: readonly string[]): Promise<CapturedResponse> {
  // So much more that a secret which the cut would halve is whole when it is looked for.
  const longest = Math.max(0, ...secrets.flatMap(formsOf).map((form) => form.length));
  const { text, complete } = await readText(response, CAPTURED_CHARS_MAX * 2 + longest);
  const clean = scrub(text, secrets);
  const cut = clean.length > CAPTURED_CHARS_MAX || !complete;
  return {
    status_code: response.status,
    content_type: (response.headers.get("content-type") ?? "").slice(0, CONTENT_TYPE_CHARS_MAX),
    body: clean.slice(0, CAPTURED_CHARS_MAX),
    body_truncated: cut,
  };
}

/** The body's beginning as text, up to a number of bytes. Half a character at the cut becomes one replacement character. */
export async function readText(response: Response, bytesMax: number): Promise<{ text: string; complete: boolean }> {
  const { bytes, complete } = await readStart(response, bytesMax);
  return { text: bytes.toString("utf8"), complete };
}
