import type { FileMetadata } from "@sandbox0/protocol";
import { useState } from "react";
import { apiPath } from "../../api/api-path.ts";
import { useClient } from "../../api/client.ts";
import { problemText } from "../../api/problem.ts";
import { useSessionFiles } from "../../api/sessions.ts";
import { plainLine } from "../../text/untrusted-text.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Button } from "../../ui/button.tsx";
import { CopyId } from "../../ui/copy.tsx";
import { saveAs } from "../../ui/download.ts";
import { formatBytes } from "../../ui/format.ts";
import { Section } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { EmptyState, ErrorState, LoadingState } from "../../ui/states.tsx";
import { Table } from "../../ui/table.tsx";
import { useToast } from "../../ui/toast.tsx";
import { MountedResources } from "./mounted-resources.tsx";
import { useSessionView } from "./session-context.ts";

/** What the agent wrote to its outputs, and what was mounted for it. */
export function FilesView() {
  const { session, running } = useSessionView();
  const { data, error, isPending, refetch, hasNextPage, fetchNextPage } = useSessionFiles(session.id, running);
  const files = data?.pages.flatMap((page) => page.data) ?? [];
  const mounted = new Set(session.resources.flatMap((each) => (each.type === "file" ? [each.file_id] : [])));
  const outputs = files.filter(({ id }) => !mounted.has(id));
  return (
    <div className="view-scroll">
      <Section title="Outputs">
        {isPending ? <LoadingState /> : null}
        {error ? <ErrorState error={error} onRetry={() => void refetch()} /> : null}
        {data && outputs.length === 0 ? (
          <EmptyState icon="file" title="No files yet">
            <p>What the agent writes to /mnt/session/outputs appears here when its turn ends.</p>
          </EmptyState>
        ) : null}
        {outputs.length > 0 ? <FileTable files={outputs} /> : null}
        {hasNextPage ? <Button onClick={() => void fetchNextPage()}>Load more</Button> : null}
      </Section>
      <MountedResources files={files} />
    </div>
  );
}

function FileTable({ files }: { files: readonly FileMetadata[] }) {
  return (
    <Table
      caption="Outputs of the session"
      rows={files}
      rowKey={(file) => file.id}
      columns={[
        { title: "Name", cell: (file) => <UntrustedLine text={file.filename} /> },
        { title: "Type", cell: (file) => <span className="muted">{file.mime_type}</span> },
        { title: "Size", numeric: true, cell: (file) => formatBytes(file.size_bytes) },
        { title: "Written", cell: (file) => <RelativeTime at={file.created_at} /> },
        { title: "Id", cell: (file) => <CopyId id={file.id} label="file id" /> },
        { title: "", cell: (file) => <DownloadFile file={file} /> },
      ]}
    />
  );
}

function DownloadFile({ file }: { file: FileMetadata }) {
  const client = useClient();
  const toast = useToast();
  const [busy, setBusy] = useState(false);
  const download = async () => {
    setBusy(true);
    try {
      const response = await client.get(apiPath`/v1/files/${file.id}/content`, { __binaryResponse: true }).asResponse();
      // As bytes: a browser must not open what an agent wrote.
      saveAs(new Blob([await response.blob()], { type: "application/octet-stream" }), file.filename);
    } catch (error) {
      toast(problemText(error), "bad");
    }
    setBusy(false);
  };
  return (
    <Button
      size="small"
      icon="download"
      busy={busy}
      aria-label={`Download ${plainLine(file.filename)}`}
      onClick={() => void download()}
    >
      Download
    </Button>
  );
}
