import { ApiError } from "@sandbox0/protocol";
import { VolumeUnavailable, type VolumeRequests } from "../provision/volumes/volume-requests.ts";
import type { CaptureFiles } from "../sessions/kept-files.ts";

/** Has the files of a resting session kept, by whichever node has them, and says in the API's terms why that cannot be. */
export function createCaptureFiles(requests: Pick<VolumeRequests, "captureVolume">): CaptureFiles {
  return async (sessionId) => {
    try {
      await requests.captureVolume(sessionId);
    } catch (error) {
      if (!(error instanceof VolumeUnavailable)) throw error;
      const message = `The session's files cannot be kept now: ${error.message}.`;
      if (error.reason === "refused") throw new ApiError("conflict_error", message);
      throw new ApiError("api_error", message, { status: 503, shouldRetry: true });
    }
  };
}
