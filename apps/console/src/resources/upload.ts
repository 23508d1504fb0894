import type { Client } from "../api/client.ts";

/** What is sent of a form, from 0 to 1. */
export type OnProgress = (fraction: number) => void;

/** For what a browser sends over a slow line. */
const UPLOAD_MS_MAX = 6 * 60 * 60 * 1_000;
/** The browser's own business: it complains when a page sets it. */
const FORBIDDEN = "user-agent";

/** Posts a form through the SDK, with its errors, and tells how much of it is on its way. */
export async function upload<T>(
  client: Client,
  path: string,
  form: FormData,
  { onProgress, signal }: { onProgress: OnProgress; signal?: AbortSignal },
): Promise<T> {
  const uploading = client.withOptions({ fetch: progressFetch(onProgress), maxRetries: 0, timeout: UPLOAD_MS_MAX });
  return uploading.post<T>(path, { body: form, ...(signal && { signal }) });
}

/** As `fetch`, which does not tell how much of a body is sent. */
function progressFetch(onProgress: OnProgress): typeof fetch {
  return (input, init) =>
    new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open(init?.method ?? "GET", input instanceof Request ? input.url : input);
      for (const [name, value] of new Headers(init?.headers)) {
        if (name !== FORBIDDEN) request.setRequestHeader(name, value);
      }
      request.upload.onprogress = (event) => {
        if (event.lengthComputable && event.total > 0) onProgress(event.loaded / event.total);
      };
      request.onload = () =>
        resolve(
          new Response(request.responseText, { status: request.status, headers: headersOf(request.getAllResponseHeaders()) }),
        );
      request.onerror = () => reject(new TypeError("The connection failed"));
      request.onabort = () => reject(new DOMException("The upload was stopped", "AbortError"));
      init?.signal?.addEventListener("abort", () => request.abort(), { once: true });
      request.send(init?.body instanceof FormData ? init.body : null);
    });
}

/** `name: value` lines, as a browser gives them. */
function headersOf(text: string): Headers {
  const headers = new Headers();
  for (const line of text.trim().split(/[\r\n]+/)) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.append(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
  }
  return headers;
}
