import { execFile, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import type { S3Options } from "./s3-store.ts";

const run = promisify(execFile);
/** Installed once into a place that only tests use. */
const VENV = fileURLToPath(new URL("../../../../node_modules/.cache/moto", import.meta.url));
const MOTO = "moto[server]==5.2.5";
const STARTED = /Running on (http:\/\/127\.0\.0\.1:\d+)/;

export interface S3Server {
  url: string;
  /** A bucket of its own. */
  createBucket(): Promise<S3Options & { endpoint: string }>;
  close(): Promise<void>;
}

async function findServer(): Promise<string> {
  const server = `${VENV}/bin/moto_server`;
  if (!existsSync(server)) {
    await run("python3", ["-m", "venv", VENV]);
    await run(`${VENV}/bin/pip`, ["install", "--quiet", "--disable-pip-version-check", MOTO]);
  }
  return server;
}

/** `moto`, a server that speaks S3 and keeps everything in memory. @throws Error with its output when it does not start */
export async function startS3Server(): Promise<S3Server> {
  const child = spawn(await findServer(), ["-H", "127.0.0.1", "-p", "0"], { stdio: ["ignore", "pipe", "pipe"] });
  const exited = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  let output = "";
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (chunk: string) => {
        output = (output + chunk).slice(-10_000);
        const started = STARTED.exec(output);
        if (started?.[1] !== undefined) resolve(started[1]);
      });
    }
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`moto ended before it listened:\n${output}`)));
  });
  const credentials = { accessKeyId: "test", secretAccessKey: "test" };
  return {
    url,
    async createBucket() {
      const bucket = `blobs-${randomUUID()}`;
      const client = new S3Client({ endpoint: url, region: "us-east-1", forcePathStyle: true, credentials });
      await client.send(new CreateBucketCommand({ Bucket: bucket }));
      client.destroy();
      return { bucket, prefix: "some/where/", endpoint: url, credentials };
    },
    async close() {
      child.kill();
      await exited;
    },
  };
}
