import { ApiError } from "@sandbox0/protocol";
import { VolumeUnavailable, type VolumeRequests } from "../provision/volumes/volume-requests.ts";
import type { CaptureFiles } from "../sessions/kept-files.ts";

const LATE_RETRY_SECONDS = 10;

/** Has the files of a resting session kept, by whichever node has them, and says in the API's terms why that cannot be. */
export function createCaptureFiles(requests: Pick<VolumeRequests, "captureVolume">): CaptureFiles {
  return async (sessionId) => {
    try {
      await requests.captureVolume(sessionId);
    } catch (error) {
      if (!(error instanceof VolumeUnavailable)) throw error;
      const message = `The session's files cannot be kept now: ${error.message}.`;
      if (error.reason === "refused") throw new ApiError("conflict_error", message);
      if (error.reason === "gone") throw new ApiError("api_error", message, { status: 503, shouldRetry: true });
      // They go on being stored.
      const late = "The session's files are still being stored. Ask again in a moment.";
      throw new ApiError("api_error", late, { status: 503, retryAfterSeconds: LATE_RETRY_SECONDS });
    }
  };
}
