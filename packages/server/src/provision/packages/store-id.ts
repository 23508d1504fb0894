import { randomUUID } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

/** What a directory is called among all servers of one database: the same for all servers on the same directory. */
export async function readStoreId(path: string): Promise<string> {
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(path, randomUUID(), { flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const id = (await readFile(path, "utf8")).trim();
  if (id === "") throw new Error(`${path} is empty: remove it, and the server names its store of layers anew`);
  return id;
}
