import { SandboxError } from "@sandbox0/sandbox";
import type { ProvisionPart } from "../port.ts";
import { IMAGE_STEP } from "./build-image.ts";
import { BuildFailed, BuildStopped } from "./build-layer.ts";
import type { LayerBuilds } from "./layer-builds.ts";

/** Characters of a build's output that a session's error has. */
const TAIL_CHARS_MAX = 2_000;

const IMAGE_MISSING =
  "The image of the session's environment is not there, and the session goes on in the system of this server instead";
const PACKAGES_MISSING = "The packages of the session's environment are not there, and the session goes on without them";

/** The packages of a session's environment, as a layer over the system of its sandbox. */
export function createPackagesPart(builds: Pick<LayerBuilds, "layerOf">): ProvisionPart {
  return {
    name: "packages",
    async equip(session) {
      try {
        const layer = await builds.layerOf(session.environmentId, session.signal);
        return layer === null ? null : { mounts: [], layers: [layer] };
      } catch (error) {
        if (error instanceof BuildStopped) throw new SandboxError("unavailable", error.message, { cause: error });
        if (!(error instanceof BuildFailed)) throw error;
        await session.report({ type: "unknown_error", message: describe(error), retry_status: { type: "retrying" } });
        return error.instead === null ? null : { mounts: [], layers: [error.instead] };
      }
    },
  };
}

function describe({ message, step, logTail }: BuildFailed): string {
  const what = step === IMAGE_STEP ? IMAGE_MISSING : PACKAGES_MISSING;
  const reason = `${what}: ${message}.`;
  if (logTail === "") return reason;
  return `${reason} The end of the installation's output:\n${logTail.slice(-TAIL_CHARS_MAX)}`;
}
