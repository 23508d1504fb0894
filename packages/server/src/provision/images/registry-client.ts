import { createHash } from "node:crypto";
import { EgressError } from "@sandbox0/egress";
import { ImageUnavailable } from "../packages/build-image.ts";
import type { RegistryFetch } from "./registry-fetch.ts";

const MIB = 1024 ** 2;
/** Of a manifest, an index or a token. */
const ANSWER_BYTES_MAX = 4 * MIB;
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
    const response = await this.#get(`manifests/${reference}`, { accept: MANIFEST_TYPES.join(", ") });
    const content = await this.#readAll(response);
    const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`;
    if (reference.startsWith("sha256:") && digest !== reference) {
      throw this.#unavailable(`the manifest ${reference} is ${digest}`);
    }
    return { digest, content, mediaType: response.headers.get("content-type")?.split(";")[0]?.trim() ?? "" };
  }

  /** @throws ImageUnavailable, also while it is read */
  async *blob(digest: string): AsyncGenerator<Uint8Array> {
    const response = await this.#get(`blobs/${digest}`, {});
    try {
      yield* response.body ?? [];
    } catch (error) {
      throw this.#unavailable(`${digest} broke off`, error);
    }
  }

  async #get(path: string, headers: Record<string, string>): Promise<Response> {
    const url = new URL(`${this.#origin()}/v2/${this.#repository}/${path}`);
    const ask = (): Promise<Response> =>
      this.#fetch(url, this.#authorization === null ? headers : { ...headers, authorization: this.#authorization });
    let response = await ask();
    if (response.status === 401 && (await this.#authorize(response))) response = await ask();
    if (response.ok) return response;
    const complaint = await this.#complaint(response);
    throw this.#unavailable(`it answers ${response.status} to ${path}${complaint}`);
  }

  #origin(): string {
    return `${this.#options.plainHttp.includes(this.#registry) ? "http" : "https"}://${this.#registry}`;
  }

  /** Until its headers are there: a body takes as long as it takes. */
  async #fetch(url: URL, headers: Record<string, string>): Promise<Response> {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), ANSWER_MS_MAX);
    try {
      return await this.#options.fetch(url, { headers, signal: AbortSignal.any([this.#signal, patience.signal]) });
    } catch (error) {
      this.#signal.throwIfAborted();
      if (patience.signal.aborted) throw this.#unavailable(`${url.host} does not answer`, error);
      throw this.#unavailable(error instanceof EgressError ? error.message : `${url.host} cannot be reached`, error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Asks for a token as the registry says. @returns false: it says nothing of tokens */
  async #authorize(response: Response): Promise<boolean> {
    const challenge = response.headers.get("www-authenticate") ?? "";
    await response.body?.cancel();
    const realm = parameter(challenge, "realm");
    if (this.#authorization !== null || !/^bearer\s/i.test(challenge) || realm === null) return false;
    const url = URL.parse(realm);
    if (url === null) throw this.#unavailable("it gives tokens nowhere");
    const service = parameter(challenge, "service");
    if (service !== null) url.searchParams.set("service", service);
    url.searchParams.set("scope", parameter(challenge, "scope") ?? `repository:${this.#repository}:pull`);
    const answer = await this.#fetch(url, {});
    if (!answer.ok)
      throw this.#unavailable(`${url.host} gives no token: status ${answer.status}${await this.#complaint(answer)}`);
    const token = tokenIn((await this.#readAll(answer)).toString("utf8"));
    if (token === null) throw this.#unavailable(`${url.host} gives no token`);
    this.#authorization = `Bearer ${token}`;
    return true;
  }

  async #readAll(response: Response): Promise<Buffer> {
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
      throw this.#unavailable("an answer broke off", error);
    }
    if (bytes > ANSWER_BYTES_MAX) throw this.#unavailable(`an answer has more than ${ANSWER_BYTES_MAX} bytes`);
    return Buffer.concat(chunks);
  }

  /** The first of its errors (distribution-spec, "Error Codes"). */
  async #complaint(response: Response): Promise<string> {
    const text = (await this.#readAll(response)).toString("utf8");
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
