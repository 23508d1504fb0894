import { chmod, mkdir } from "node:fs/promises";
import { createWriteStream } from "node:fs";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { invalidRequest } from "@sandbox0/protocol";
import { checkPaths } from "../../resources/skills/skill-paths.ts";
import { openZip, type SkillFile } from "../../resources/skills/skill-zip.ts";

const [DIRECTORY_MODE, FILE_MODE, PROGRAM_MODE] = [0o755, 0o644, 0o755];

/**
 * Unpacks the archive of a skill into a new directory: what the sandbox's user may read and nobody there may write. The one
 * directory that all of an archive is in is left away. Nothing is trusted that was checked at its upload.
 * @returns its bytes, unpacked
 * @throws ApiError when the archive is not a good one; what was unpacked by then is left
 */
export async function unpackSkill(archive: string, target: string, signal: AbortSignal): Promise<number> {
  const zip = await openZip(archive);
  try {
    checkPaths(zip.files.map(({ path }) => path));
    const files = unwrap(zip.files);
    const made = new Set<string>();
    for (const file of files) {
      await makeDirs(target, dirname(file.path), made);
      const path = join(target, file.path);
      // Never through a link, and never over what is there.
      await pipeline(await file.open(), createWriteStream(path, { flags: "wx" }), { signal });
      await chmod(path, file.executable ? PROGRAM_MODE : FILE_MODE);
    }
    return files.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
  } finally {
    zip.close();
  }
}

function unwrap(files: readonly SkillFile[]): SkillFile[] {
  const prefix = `${files[0]?.path.split("/")[0] ?? ""}/`;
  if (!files.every(({ path }) => path.startsWith(prefix))) throw invalidRequest("files: All files must be in the same folder");
  return files.map((file) => ({ ...file, path: file.path.slice(prefix.length) }));
}

/** With exactly these modes, whatever the server's umask is. */
async function makeDirs(target: string, path: string, made: Set<string>): Promise<void> {
  if (made.has(path)) return;
  if (path !== ".") await makeDirs(target, dirname(path), made);
  await mkdir(join(target, path));
  await chmod(join(target, path), DIRECTORY_MODE);
  made.add(path);
}
