import { strict as assert } from "node:assert";
import { SandboxError, type ExecExit, type ExecOptions, type Sandbox } from "../port.ts";

export interface CommandResult extends ExecExit {
  stdout: string;
  stderr: string;
}

/** Runs a bash script to its end. */
export async function runCommand(
  sandbox: Sandbox,
  script: string,
  options: ExecOptions & { input?: string } = {},
): Promise<CommandResult> {
  const { input, ...execOptions } = options;
  const child = await sandbox.exec(["/bin/bash", "--norc", "-c", script], execOptions);
  const streams = Promise.all([readAll(child.stdout), readAll(child.stderr)]);
  if (input !== undefined) child.stdin.write(input);
  child.stdin.end();
  const [exit, [stdout, stderr]] = await Promise.all([child.exited, streams]);
  return { ...exit, stdout, stderr };
}

/** @returns the text up to and with the first newline; the stream can be read on */
export async function readLine(stream: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const receive = (chunk: Buffer): void => {
      text += chunk.toString("utf8");
      if (!text.includes("\n")) return;
      stream.off("data", receive);
      resolve(text);
    };
    stream.on("data", receive);
    stream.once("end", () => reject(new Error(`the stream ended after ${JSON.stringify(text)}`)));
  });
}

export async function readAll(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk as Buffer));
  return Buffer.concat(chunks).toString("utf8");
}

export async function rejectsWith(
  code: SandboxError["code"] | readonly SandboxError["code"][],
  work: Promise<unknown>,
): Promise<void> {
  const codes = [code].flat();
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof SandboxError, `not a SandboxError: ${String(error)}`);
    assert.ok(codes.includes(error.code), `${error.code} is not ${codes.join(" or ")}: ${error.message}`);
    return true;
  });
}
