import { RUNTIME_DIR } from "../../layout.ts";
import type { SandboxProgram } from "../../programs.ts";

/** An image that a sandbox has in place of the host's system. */
export interface ImageBase {
  /** Its files, below the host's `layersDir`. */
  root: string;
  /** Of every process, before what the sandbox is given. */
  env: Readonly<Record<string, string>>;
  /** Files in it at which the certificates of the egress gateway are shown. */
  caPlaces: readonly string[];
  /** Where its link to the server's bash is, no links in between. */
  bashAt: string;
  /** On the host: what is shown at `RUNTIME_DIR`, able to run over any root. */
  toolsDir: string;
  /** In place of the driver's, for the same reason. */
  programs: readonly SandboxProgram[];
}

export const IMAGE_BASH = `${RUNTIME_DIR}/bin/bash`;
export const IMAGE_SOCAT = `${RUNTIME_DIR}/bin/socat`;
