import type { Harness } from "../port.ts";

/**
 * What a vendor's program does not tell, or cannot do, by the case that asks for it: the case must fail. When it passes, the
 * entry goes, here and in DIVERGENCES.md.
 */
export const VENDOR_LIMITS: Readonly<Record<Harness["name"], Readonly<Record<string, string>>>> = {
  sandpi: {},
  claude: {
    "states the error and leaves nothing of the response: 429 with retry-after": "it keeps the header to itself",
    "states the error and leaves nothing of the response: 404":
      "it asks once more, without a stream, and reports the second answer",
    "tells an overloaded provider in the stream from a broken one": "it says `server error`, whichever it was",
  },
  codex: {
    "takes images and documents: base64, by url and as text": "no PDF is given to the model",
    "gives images, documents and search results of a tool to the model": "no PDF is given to the model",
  },
};
