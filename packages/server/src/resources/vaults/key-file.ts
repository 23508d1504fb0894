import { randomBytes } from "node:crypto";
import { link, mkdir, open, readFile, rename, stat, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";

const KEY_BYTES = 32;
const OTHERS_MAY = 0o077;

const fileSchema = z.array(z.string().regex(/^[0-9a-f]{64}$/)).min(1);

/** The file of master keys cannot be used. The message has its path and no key. */
export class KeyFileError extends Error {
  readonly code = "key_file";
  constructor(message: string) {
    super(message);
    this.name = "KeyFileError";
  }
}

const codeOf = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : undefined);

/** The keys of the file, oldest first; `null` when there is no file. @throws KeyFileError */
export async function readKeyFile(path: string): Promise<Buffer[] | null> {
  let text: string;
  try {
    const { mode } = await stat(path);
    if ((mode & OTHERS_MAY) !== 0)
      throw new KeyFileError(`${path} may be read by others: it holds the master keys; chmod 600 it`);
    text = await readFile(path, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw error;
  }
  const parsed = fileSchema.safeParse(parseJson(text));
  if (!parsed.success) throw new KeyFileError(`${path} is not a file of master keys`);
  return parsed.data.map((key) => Buffer.from(key, "hex"));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    // A SyntaxError quotes the text.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Makes the file with a first key, readable by its owner alone; of several servers that do so at once one wins. */
export async function createKeyFile(path: string): Promise<Buffer[]> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = await writeAside(path, [randomBytes(KEY_BYTES)]);
  try {
    // Unlike a rename it fails when the file is there, and it is never there half-written.
    await link(temporary, path);
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  } finally {
    await unlink(temporary);
  }
  const keys = await readKeyFile(path);
  if (keys === null) throw new KeyFileError(`${path} vanished right after it was made`);
  return keys;
}

/** Adds a key; one that is there already changes nothing. Never leaves half a file. */
export async function appendToKeyFile(path: string, key: Buffer): Promise<void> {
  const keys = (await readKeyFile(path)) ?? [];
  if (keys.some((known) => known.equals(key))) return;
  await rename(await writeAside(path, [...keys, key]), path);
}

async function writeAside(path: string, keys: readonly Buffer[]): Promise<string> {
  const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  const file = await open(temporary, "wx", 0o600);
  try {
    await file.writeFile(
      `${JSON.stringify(
        keys.map((key) => key.toString("hex")),
        null,
        2,
      )}\n`,
    );
    await file.sync();
  } finally {
    await file.close();
  }
  return temporary;
}
