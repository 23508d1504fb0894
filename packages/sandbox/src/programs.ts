import { HARNESS_PROGRAMS_DIR } from "./layout.ts";

/** A directory of the host that every sandbox of a driver sees, read-only: a program of a harness that runs there. */
export interface SandboxProgram {
  /** Absolute. */
  directory: string;
  /** A directory directly in `HARNESS_PROGRAMS_DIR`. */
  mountedAt: string;
}

/** @throws Error for a place that sandboxes have for something else */
export function checkProgramMounts(programs: readonly SandboxProgram[]): void {
  const name = /^[a-z0-9][a-z0-9._-]*$/;
  for (const { mountedAt } of programs) {
    if (mountedAt.startsWith(`${HARNESS_PROGRAMS_DIR}/`) && name.test(mountedAt.slice(HARNESS_PROGRAMS_DIR.length + 1))) continue;
    throw new Error(`${mountedAt} is not a directory in ${HARNESS_PROGRAMS_DIR}`);
  }
}
