import { realpathSync, statSync } from "node:fs";
import { dirname, relative, resolve, sep } from "node:path";

/** What may be read for a document. */
export interface Reach {
  /** Where the document stands: what it names is looked for beside it. */
  file: string;
  /** Files that are not below its directory, too. */
  allowOutside: boolean;
}

/**
 * The file that a document names. A document may come from somebody else: it does not decide alone which files of this
 * machine go to a server, nor does a link that came with it.
 * @returns its real path, or why it is not read: a sentence that begins with the path
 */
export function findNamedFile(name: string, { file, allowOutside }: Reach): { path: string } | { problem: string } {
  const named = resolve(dirname(file), name);
  try {
    const path = realpathSync(named);
    const directory = realpathSync(dirname(file));
    if (!allowOutside && relative(directory, path).split(sep)[0] === "..")
      return { problem: `${path} is outside of ${directory}, where the document is; --allow-outside reads it` };
    return statSync(path).isFile() ? { path } : { problem: `${path} is no file` };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { problem: `${named} cannot be read: ${error.message}` };
  }
}
