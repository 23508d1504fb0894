import type { Transform } from "node:stream";
import { constants, createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from "node:zlib";
import { EgressError } from "../egress-error.ts";
import type { ResponseHead } from "./exchange.ts";
import { tokensOf } from "./headers.ts";

/** RFC 9659: what a server may have a client keep, as a power of two. Without it a few bytes would make that 128 MiB. */
const ZSTD_WINDOW_LOG_MAX = 23;

const DECODERS: Readonly<Record<string, () => Transform>> = {
  br: createBrotliDecompress,
  deflate: createInflate,
  gzip: createGunzip,
  "x-gzip": createGunzip,
  zstd: () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX } }),
};

/**
 * What opens a body that was compressed although we asked for it as it is; `null`: it was not. Throws an `EgressError` for
 * one that cannot be opened: nobody could say what is in it.
 */
export function decoderFor(response: ResponseHead): Transform | null {
  const codings = tokensOf(response.headers, "content-encoding").filter((coding) => coding !== "identity");
  const [coding] = codings;
  if (coding === undefined) return null;
  const create = codings.length === 1 && response.status !== 206 ? DECODERS[coding] : undefined;
  if (create) return create();
  throw notOpened();
}

export function notOpened(): EgressError {
  const message = "The server compressed its response in a way that the gateway cannot look into.";
  return new EgressError("failed", "content_encoding", message);
}
