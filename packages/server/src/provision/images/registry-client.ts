import { createHash } from "node:crypto";
import { EgressError } from "@sandbox0/egress";
import { ImageUnavailable } from "../packages/build-image.ts";
import type { RegistryFetch } from "./registry-fetch.ts";

const MIB = 1024 ** 2;
/** Of a manifest, an index or a token. */
const ANSWER_BYTES_MAX = 4 * MIB;
/** Until one is there as a whole, with the token for it; of a blob until it begins. */
const ANSWER_MS_MAX = 60_000;
const COMPLAINT_CHARS_MAX = 200;
const MANIFEST_TYPES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];

export interface RegistryOptions {
  fetch: RegistryFetch;
  /** As `RegistryFetchOptions`. */
  plainHttp: readonly string[];
  /** Default: `ANSWER_MS_MAX`. */
  answerMsMax?: number;
}

export interface Manifest {
  /** Of its content, which has it. */
  digest: string;
  mediaType: string;
  content: Buffer;
}

/**
 * One repository of a registry (OCI distribution-spec 1.1, pull). Without credentials: what anybody may pull, with the token
 * that a registry gives to anybody.
 */
export class RegistryClient {
  readonly #options: RegistryOptions;
  readonly #registry: string;
  readonly #repository: string;
  readonly #signal: AbortSignal;
  #authorization: string | null = null;

  constructor(options: RegistryOptions, registry: string, repository: string, signal: AbortSignal) {
    this.#options = options;
    this.#registry = registry;
    this.#repository = repository;
    this.#signal = signal;
  }

  /** @param reference a tag or a digest @throws ImageUnavailable */
  async manifest(reference: string): Promise<Manifest> {
    return this.#soon(async (signal) => {
      const response = await this.#get(`manifests/${reference}`, { accept: MANIFEST_TYPES.join(", ") }, signal);
      return this.#manifestOf(reference, response, await this.#readAll(response, signal));
    });
  }

  #manifestOf(reference: string, response: Response, content: Buffer): Manifest {
    const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
    if (reference.startsWith("sha256:") && digest !== reference) {
      throw this.#unavailable(`the manifest ${reference} is ${digest}`);
    }
    return { digest, content, mediaType: response.headers.get("content-type")?.split(";")[0]?.trim() ?? "" };
  }

  /** @throws ImageUnavailable, also while it is read */
  async *blob(digest: string): AsyncGenerator<Uint8Array> {
    const response = await this.#soon((signal) => this.#get(`blobs/${digest}`, {}, signal));
    try {
      yield* response.body ?? [];
    } catch (error) {
      throw this.#unavailable(`${digest} broke off`, error);
    }
  }

  /** @param ask is given a signal that also ends it after the longest time; what it returns may be read with that for longer */
  async #soon<T>(ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), this.#options.answerMsMax ?? ANSWER_MS_MAX);
    try {
      return await ask(AbortSignal.any([this.#signal, patience.signal]));
    } finally {
      clearTimeout(timer);
    }
  }

  async #get(path: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
    const url = new URL(`${this.#origin()}/v2/${this.#repository}/${path}`);
    const ask = (): Promise<Response> =>
      this.#fetch(url, this.#authorization === null ? headers : { ...headers, authorization: this.#authorization }, signal);
    let response = await ask();
    // None yet, or it has run out.
    if (response.status === 401 && (await this.#authorize(response, signal))) response = await ask();
    if (response.ok) return response;
    const complaint = await this.#complaint(response, signal);
    throw this.#unavailable(`it answers ${response.status} to ${path}${complaint}`);
  }

  #origin(): string {
    return `${this.#options.plainHttp.includes(this.#registry) ? "http" : "https"}://${this.#registry}`;
  }

  async #fetch(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
    try {
      return await this.#options.fetch(url, { headers, signal });
    } catch (error) {
      this.#signal.throwIfAborted();
      if (signal.aborted) throw this.#unavailable(`${url.host} does not answer`, error);
      throw this.#unavailable(error instanceof EgressError ? error.message : `${url.host} cannot be reached`, error);
    }
  }

  /** Asks for a token as the registry says. @returns false: it says nothing of tokens */
  async #authorize(response: Response, signal: AbortSignal): Promise<boolean> {
    this.#authorization = null;
    const challenge = response.headers.get("www-authenticate") ?? "";
    await response.body?.cancel().catch((error: unknown) => {
      throw this.#unavailable("an answer broke off", error);
    });
    const realm = parameter(challenge, "realm");
    if (!/^bearer\s/i.test(challenge) || realm === null) return false;
    const url = URL.parse(realm);
    if (url === null) throw this.#unavailable("it gives tokens nowhere");
    const service = parameter(challenge, "service");
    if (service !== null) url.searchParams.set("service", service);
    url.searchParams.set("scope", parameter(challenge, "scope") ?? `repository:${this.#repository}:pull`);
    const answer = await this.#fetch(url, {}, signal);
    if (!answer.ok)
      throw this.#unavailable(`${url.host} gives no token: status ${answer.status}${await this.#complaint(answer, signal)}`);
    const token = tokenIn((await this.#readAll(answer, signal)).toString("utf8"));
    if (token === null) throw this.#unavailable(`${url.host} gives no token`);
    this.#authorization = `Bearer ${token}`;
    return true;
  }

  async #readAll(response: Response, signal: AbortSignal): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    try {
      for await (const chunk of response.body ?? []) {
        bytes += chunk.length;
        if (bytes > ANSWER_BYTES_MAX) break;
        chunks.push(chunk);
      }
    } catch (error) {
      this.#signal.throwIfAborted();
      throw this.#unavailable(signal.aborted ? "an answer does not end" : "an answer broke off", error);
    }
    if (bytes > ANSWER_BYTES_MAX) throw this.#unavailable(`an answer has more than ${ANSWER_BYTES_MAX} bytes`);
    return Buffer.concat(chunks);
  }

  /** The first of its errors (distribution-spec, "Error Codes"). */
  async #complaint(response: Response, signal: AbortSignal): Promise<string> {
    const text = (await this.#readAll(response, signal)).toString("utf8");
    const message = /"message"\s*:\s*"((?:[^"\\]|\\.)*)"/.exec(text)?.[1];
    return message === undefined ? "" : `: ${message.slice(0, COMPLAINT_CHARS_MAX)}`;
  }

  #unavailable(why: string, cause?: unknown): ImageUnavailable {
    return new ImageUnavailable(`the registry ${this.#registry}: ${why}`, { cause });
  }
}

/** Of a challenge: `name="value"`. */
function parameter(challenge: string, name: string): string | null {
  return new RegExp(`[\\s,]${name}="([^"]*)"`, "i").exec(challenge)?.[1] ?? null;
}

function tokenIn(text: string): string | null {
  try {
    const { token, access_token } = JSON.parse(text) as { token?: unknown; access_token?: unknown };
    const found = token ?? access_token;
    return typeof found === "string" && /^[\x21-\x7e]+$/.test(found) ? found : null;
  } catch {
    return null;
  }
}
