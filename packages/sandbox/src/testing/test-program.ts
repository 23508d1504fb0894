import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** As an installer with a narrow umask leaves it: a program, what it reads, and a link, open to their owner alone. */
export async function writeTestProgram(directory: string): Promise<void> {
  await mkdir(join(directory, "lib"), { recursive: true, mode: 0o700 });
  await writeFile(join(directory, "lib/words"), "read from beside it\n", { mode: 0o600 });
  await writeFile(join(directory, "run"), '#!/bin/bash\ncat "$(dirname "$0")/lib/words"\n');
  await chmod(join(directory, "run"), 0o700);
  await symlink("run", join(directory, "link"));
}
