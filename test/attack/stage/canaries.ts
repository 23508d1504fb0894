import { randomBytes } from "node:crypto";
import type { Dirent } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type pg from "pg";

/** Bytes of one file that are searched; a core or a memory dump is larger than anything else here. */
const FILE_BYTES_MAX = 512 * 1024 * 1024;

const ANYBODY_READS = 0o444;

/** Secrets that can be told from everything else, in any form, wherever they turn up. */
export interface Canaries {
  /** A new one. Ends in its kind. */
  make(kind: string): string;
  /** Watches for a key of another shape as well. */
  watch(kind: string, key: Buffer): void;
  /** What of them is in the bytes: the form, and some of what is around it. */
  find(bytes: Buffer | string): string[];
  findInFiles(dir: string): Promise<string[]>;
  /** Looks at every row of every table as text, and into every `bytea`. */
  findInDatabase(db: pg.Pool): Promise<string[]>;
}

interface Form {
  name: string;
  bytes: Buffer;
}

export function createCanaries(): Canaries {
  const mark = `Zq${randomBytes(9).toString("hex")}`;
  const forms = formsOf("a canary", Buffer.from(mark));
  const find = (given: Buffer | string): string[] => {
    const bytes = typeof given === "string" ? Buffer.from(given) : given;
    return forms.flatMap((form) => {
      const at = bytes.indexOf(form.bytes);
      return at === -1 ? [] : [`${form.name}: …${bytes.subarray(Math.max(0, at - 60), at + 60).toString("latin1")}…`];
    });
  };
  const findInFiles = async (dir: string): Promise<string[]> => {
    const hits: string[] = [];
    for (const entry of await list(dir)) {
      const path = join(dir, entry.name);
      hits.push(...find(entry.name).map((hit) => `the name of ${path}: ${hit}`));
      if (entry.isDirectory()) hits.push(...(await findInFiles(path)));
      else if (entry.isFile()) hits.push(...find((await read(path)).subarray(0, FILE_BYTES_MAX)).map((hit) => `${path}: ${hit}`));
    }
    return hits;
  };
  return {
    make: (kind) => `${mark}${kind}`,
    watch: (kind, key) =>
      void forms.push(...formsOf(kind, key), {
        name: `${kind} as hexadecimal in hexadecimal`,
        bytes: Buffer.from(Buffer.from(key.toString("hex")).toString("hex")),
      }),
    find,
    findInFiles,
    findInDatabase: (db) => findInDatabase(db, find),
  };
}

/** As it is, in base64 at each of its three alignments, and in hexadecimal. */
function formsOf(kind: string, key: Buffer): Form[] {
  const aligned = [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), key])
      .toString("base64")
      .replace(/=+$/, "");
    // The first and last characters also depend on the neighbours.
    return { name: `${kind} in base64`, bytes: Buffer.from(text.slice(before === 0 ? 0 : before + 1, -1)) };
  });
  const hex = key.toString("hex");
  return [
    { name: kind, bytes: key },
    ...aligned,
    { name: `${kind} in hexadecimal`, bytes: Buffer.from(hex) },
    { name: `${kind} in hexadecimal`, bytes: Buffer.from(hex.toUpperCase()) },
  ];
}

async function findInDatabase(db: pg.Pool, find: (text: string) => string[]): Promise<string[]> {
  const { rows: tables } = await db.query<{ name: string }>(
    "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname not in ('information_schema')",
  );
  const hits: string[] = [];
  for (const { name } of tables) {
    const { rows } = await db.query<{ row: string }>(`select t::text as row from ${name} t`);
    for (const { row } of rows) hits.push(...find(row).map((hit) => `table ${name}: ${hit}`));
  }
  return hits;
}

/** What goes away while we look holds nothing any more. */
async function list(dir: string): Promise<Dirent[]> {
  return readdir(dir, { withFileTypes: true }).catch(gone([]));
}

async function read(path: string): Promise<Buffer> {
  const mode = await stat(path).then(({ mode }) => mode, gone(0));
  // A program that sandboxes may run and nobody may read, root aside.
  if ((mode & ANYBODY_READS) === 0) return Buffer.alloc(0);
  return readFile(path).catch(gone(Buffer.alloc(0)));
}

function gone<T>(instead: T): (error: NodeJS.ErrnoException) => T {
  return (error) => {
    if (error.code === "ENOENT") return instead;
    throw error;
  };
}
