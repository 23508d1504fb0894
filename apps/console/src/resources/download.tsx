import { useState } from "react";
import { useClient } from "../api/client.ts";
import { problemText } from "../api/problem.ts";
import { IconButton } from "../ui/button.tsx";
import { saveAs } from "../ui/download.ts";
import { useToast } from "../ui/toast.tsx";

interface DownloadButtonProps {
  path: string;
  fileName: string;
  /** Why it cannot be downloaded; `null`: it can. */
  refusal?: string | null;
}

/** Gives bytes of the server to the person, as bytes: a browser must not open what an agent wrote. */
export function DownloadButton({ path, fileName, refusal = null }: DownloadButtonProps) {
  const client = useClient();
  const toast = useToast();
  const [busy, setBusy] = useState(false);
  const download = async () => {
    setBusy(true);
    try {
      const response = await client.get(path, { __binaryResponse: true }).asResponse();
      saveAs(new Blob([await response.blob()], { type: "application/octet-stream" }), fileName);
    } catch (error) {
      toast(problemText(error), "bad");
    }
    setBusy(false);
  };
  return (
    <IconButton
      icon="download"
      size="small"
      label={refusal === null ? `Download ${fileName}` : `Download ${fileName}: ${refusal}`}
      disabled={busy || refusal !== null}
      onClick={() => void download()}
    />
  );
}
