import type { Transform } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from "node:zlib";
import { EgressError } from "../egress-error.ts";
import type { ResponseHead } from "./exchange.ts";
import { tokensOf } from "./headers.ts";

const DECODERS: Readonly<Record<string, () => Transform>> = {
  br: createBrotliDecompress,
  deflate: createInflate,
  gzip: createGunzip,
  "x-gzip": createGunzip,
  zstd: createZstdDecompress,
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
  throw new EgressError(
    "failed",
    "content_encoding",
    "The server compressed its response in a way that the gateway cannot look into.",
  );
}
