import { chmodSync, mkdirSync } from "node:fs";

/** Anybody may go through and nobody may look around: what is below has its own, closer owner. */
export const PASSAGE_MODE = 0o711;

/** Makes a directory with exactly this mode, whatever the server's umask is. Idempotent. */
export function makeDir(path: string, mode: number): void {
  mkdirSync(path, { recursive: true });
  chmodSync(path, mode);
}
