import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand,
  CopyObjectCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  S3Client,
  S3ServiceException,
  paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { Measured } from "./measured.ts";
import { BlobMissing, type BlobStore, BlobsUnavailable, type ByteRange, type StageOptions, type StagedBlob } from "./port.ts";
import type { S3Location } from "./s3-url.ts";

/** What S3 copies in one request. */
const BLOB_BYTES_MAX = 5 * 1024 ** 3;
/** An upload has one part in the making and so many on their way, each in memory. */
const PART_BYTES = 5 * 1024 * 1024;
const PARTS_AT_ONCE = 2;
const ATTEMPTS_MAX = 4;
const CONNECT_TIMEOUT_MS = 5_000;
const SOCKET_IDLE_MS = 30_000;
/** Of stores that have none; the SDK wants one to sign with. */
const REGION_DEFAULT = "us-east-1";

export interface S3Options extends S3Location {
  /** For tests; default what the environment says, as for every program of Amazon's SDK. */
  credentials?: { accessKeyId: string; secretAccessKey: string };
  /** Of each request. */
  attemptsMax?: number;
}

/**
 * Blobs as objects: `objects/ab/abcdef…` by address, `staging/<uuid>` while they come; what is published is copied there by
 * the store itself. @throws Error when there is no such bucket, or it is not ours
 */
export async function createS3Store(options: S3Options): Promise<BlobStore> {
  const client = createClient(options);
  try {
    await requireBucket(client, options.bucket);
  } catch (error) {
    client.destroy();
    throw error;
  }
  return new S3Store(client, options);
}

function createClient({ endpoint, region, credentials, attemptsMax }: S3Options): S3Client {
  const checksums = "WHEN_REQUIRED";
  return new S3Client({
    maxAttempts: attemptsMax ?? ATTEMPTS_MAX,
    requestHandler: { connectionTimeout: CONNECT_TIMEOUT_MS, socketTimeout: SOCKET_IDLE_MS },
    ...(region === undefined ? {} : { region }),
    ...(credentials === undefined ? {} : { credentials }),
    // Others than Amazon seldom have a host for each bucket, and often not its newer checksums.
    ...(endpoint === undefined
      ? {}
      : {
          endpoint,
          region: region ?? REGION_DEFAULT,
          forcePathStyle: true,
          requestChecksumCalculation: checksums,
          responseChecksumValidation: checksums,
        }),
  });
}

/** One that does not answer now may do so later. */
async function requireBucket(client: S3Client, bucket: string): Promise<void> {
  try {
    await client.send(new HeadBucketCommand({ Bucket: bucket }));
  } catch (error) {
    const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
    if (status === 404) throw new Error(`there is no bucket "${bucket}"`, { cause: error });
    if (status === 403 || status === 301) throw new Error(`the bucket "${bucket}" may not be used`, { cause: error });
    if (!(translate(error) instanceof BlobsUnavailable)) throw error;
  }
}

class S3Store implements BlobStore {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #objects: string;
  readonly #staging: string;

  constructor(client: S3Client, { bucket, prefix }: S3Location) {
    this.#client = client;
    this.#bucket = bucket;
    this.#objects = `${prefix}objects/`;
    this.#staging = `${prefix}staging/`;
  }

  async stage(source: AsyncIterable<Uint8Array>, options: StageOptions): Promise<StagedBlob> {
    const key = `${this.#staging}${randomUUID()}`;
    const measured = new Measured(source, { ...options, bytesMax: Math.min(options.bytesMax, BLOB_BYTES_MAX) });
    const upload = new Upload({
      client: this.#client,
      params: { Bucket: this.#bucket, Key: key, Body: Readable.from(measured, { objectMode: false }) },
      partSize: PART_BYTES,
      queueSize: PARTS_AT_ONCE,
    });
    try {
      await upload.done();
    } catch (error) {
      // What went wrong with the source is nothing of the store's.
      throw measured.failure === undefined ? translate(error) : measured.failure.error;
    }
    const { ref } = measured;
    return { ...ref, publish: () => this.#publish(key, ref.sha256), discard: () => this.#remove(key) };
  }

  async get(sha256: string, { start, end }: ByteRange = { start: 0 }): Promise<Readable> {
    const isPart = start > 0 || end !== undefined;
    if (isPart && end !== undefined && end <= start) {
      if (await this.exists(sha256)) return Readable.from([]);
      throw new BlobMissing(sha256);
    }
    const range = isPart ? { Range: `bytes=${start}-${end === undefined ? "" : end - 1}` } : {};
    try {
      const { Body } = await this.#client.send(new GetObjectCommand({ ...this.#at(sha256), ...range }));
      if (!(Body instanceof Readable)) throw new Error("the S3 client gave no stream");
      return Body;
    } catch (error) {
      if (error instanceof S3ServiceException && error.name === "NoSuchKey") throw new BlobMissing(sha256, error);
      // Behind the end, where a file has nothing either.
      if (error instanceof S3ServiceException && error.$metadata.httpStatusCode === 416) return Readable.from([]);
      throw translate(error);
    }
  }

  async exists(sha256: string): Promise<boolean> {
    try {
      await this.#client.send(new HeadObjectCommand(this.#at(sha256)));
      return true;
    } catch (error) {
      if (error instanceof S3ServiceException && error.$metadata.httpStatusCode === 404) return false;
      throw translate(error);
    }
  }

  delete(sha256: string): Promise<void> {
    return this.#remove(this.#at(sha256).Key);
  }

  async sweep(before: Date): Promise<number> {
    return (await this.#sweepObjects(before)) + (await this.#sweepUploads(before));
  }

  async close(): Promise<void> {
    this.#client.destroy();
  }

  #at(sha256: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: `${this.#objects}${sha256.slice(0, 2)}/${sha256}` };
  }

  async #publish(key: string, sha256: string): Promise<void> {
    const CopySource = `${this.#bucket}/${encodeURIComponent(key)}`;
    if (!(await this.exists(sha256))) {
      await translating(this.#client.send(new CopyObjectCommand({ ...this.#at(sha256), CopySource })));
    }
    await this.#remove(key);
  }

  async #remove(key: string): Promise<void> {
    await translating(this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: key })));
  }

  async #sweepObjects(before: Date): Promise<number> {
    let removed = 0;
    const pages = paginateListObjectsV2({ client: this.#client }, { Bucket: this.#bucket, Prefix: this.#staging });
    try {
      for await (const { Contents = [] } of pages) {
        for (const { Key, LastModified } of Contents) {
          if (Key === undefined || LastModified === undefined || LastModified >= before) continue;
          await this.#remove(Key);
          removed += 1;
        }
      }
    } catch (error) {
      throw translate(error);
    }
    return removed;
  }

  /** Parts of an upload that was killed are in no list of objects. */
  async #sweepUploads(before: Date): Promise<number> {
    let removed = 0;
    const where = { Bucket: this.#bucket, Prefix: this.#staging };
    for (let marker: { KeyMarker?: string; UploadIdMarker?: string } | null = {}; marker !== null; ) {
      const page: ListMultipartUploadsCommandOutput = await translating(
        this.#client.send(new ListMultipartUploadsCommand({ ...where, ...marker })),
      );
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (Key === undefined || UploadId === undefined || Initiated === undefined || Initiated >= before) continue;
        await translating(this.#client.send(new AbortMultipartUploadCommand({ Bucket: this.#bucket, Key, UploadId })));
        removed += 1;
      }
      const { NextKeyMarker: KeyMarker, NextUploadIdMarker: UploadIdMarker } = page;
      marker =
        page.IsTruncated === true && KeyMarker !== undefined ? { KeyMarker, ...(UploadIdMarker && { UploadIdMarker }) } : null;
    }
    return removed;
  }
}

async function translating<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw translate(error);
  }
}

const NETWORK = /^(ECONN|EAI_|ENOTFOUND|EPIPE|ETIMEDOUT|EHOST|ENET)/;
const HTTP_TOO_MANY = 429;

/** What may pass. What the store says of the request itself, such as that it may not, is an error of ours or the operator's. */
function translate(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const passes = (status !== undefined && (status >= 500 || status === HTTP_TOO_MANY)) || NETWORK.test(code);
  return passes || error.name === "TimeoutError" ? new BlobsUnavailable("connection", error) : error;
}
