import type { FileMetadata } from "@sandbox0/protocol";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { apiPath } from "../../api/api-path.ts";
import { Confirm } from "../../resources/confirm.tsx";
import { DownloadButton } from "../../resources/download.tsx";
import { FileDrop } from "../../resources/file-drop.tsx";
import { ListTable } from "../../resources/loaded.tsx";
import { UploadList } from "../../resources/upload-list.tsx";
import { useResourceList } from "../../resources/use-resources.ts";
import { useUploads } from "../../resources/use-uploads.ts";
import { plainLine } from "../../text/untrusted-text.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Badge } from "../../ui/badge.tsx";
import { IconButton } from "../../ui/button.tsx";
import { CopyId } from "../../ui/copy.tsx";
import { TextField } from "../../ui/field.tsx";
import { formatBytes } from "../../ui/format.ts";
import { Page } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";

/** Ids of sessions begin with it; the server refuses others. */
const SESSION_PREFIX = "sesn_";

export function FilesPage() {
  const { session } = useSearch({ from: "/files" });
  const navigate = useNavigate();
  const [doomed, setDoomed] = useState<FileMetadata | null>(null);
  const { uploads, add, dismiss } = useUploads();
  const [scope, setScope] = useState(session ?? "");
  const list = useResourceList<FileMetadata>("/v1/files", { ...(session && { scope_id: session }) });
  const filter = (text: string) => {
    setScope(text);
    const id = text.trim();
    if (id !== "" && !id.startsWith(SESSION_PREFIX)) return;
    void navigate({ to: "/files", search: id === "" ? {} : { session: id }, replace: true });
  };
  return (
    <Page title="Files" description="What you upload for sessions, and what they wrote to their outputs.">
      <div className="stack">
        <FileDrop label="Upload files" multiple onFiles={add} />
        <UploadList uploads={uploads} onDismiss={dismiss} />
        <search className="toolbar" aria-label="Filters">
          <TextField
            label="Session id"
            hideLabel
            mono
            placeholder="Session id"
            value={scope}
            onChange={(event) => filter(event.target.value)}
          />
        </search>
        <FileTable list={list} filtered={session !== undefined} onDelete={setDoomed} />
      </div>
      {doomed ? (
        <Confirm
          title={`Delete ${doomed.filename}?`}
          description="It is removed for good. Sessions that have it keep their copies."
          submitLabel="Delete file"
          done="The file was deleted."
          run={(client) => client.delete(apiPath`/v1/files/${doomed.id}`)}
          onClose={() => setDoomed(null)}
        />
      ) : null}
    </Page>
  );
}

interface FileTableProps {
  list: ReturnType<typeof useResourceList<FileMetadata>>;
  filtered: boolean;
  onDelete(file: FileMetadata): void;
}

function FileTable({ list, filtered, onDelete }: FileTableProps) {
  return (
    <ListTable
      caption="Files"
      list={list}
      icon="file"
      emptyTitle={filtered ? "This session has no files" : "No files yet"}
      empty={filtered ? null : <p>Upload one to mount it in a session, or let an agent write one.</p>}
      rowKey={(file) => file.id}
      columns={[
        { title: "Name", cell: (file) => <FileName file={file} /> },
        { title: "Type", minor: true, cell: (file) => <span className="muted">{file.mime_type}</span> },
        { title: "Size", numeric: true, cell: (file) => formatBytes(file.size_bytes) },
        { title: "Of", minor: true, cell: (file) => <Owner file={file} /> },
        { title: "Created", minor: true, cell: (file) => <RelativeTime at={file.created_at} /> },
        { title: "Id", minor: true, cell: (file) => <ShortId id={file.id} /> },
        {
          title: "",
          cell: (file) => (
            <span className="row row-end">
              <DownloadButton
                path={apiPath`/v1/files/${file.id}/content`}
                fileName={file.filename}
                refusal={file.downloadable === false ? "uploads are not given out" : null}
              />
              <IconButton icon="trash" label={`Delete ${file.filename}`} size="small" onClick={() => onDelete(file)} />
            </span>
          ),
        },
      ]}
    />
  );
}

/** Ids end with what tells them apart, and are copied whole. */
function ShortId({ id }: { id: string }) {
  return (
    <span className="short-id">
      <CopyId id={id} label="file id" />
    </span>
  );
}

function FileName({ file }: { file: FileMetadata }) {
  return (
    <span className="row file-name">
      <span className="truncate" title={plainLine(file.filename)}>
        <UntrustedLine text={file.filename} />
      </span>
      {file.expires_at ? (
        <Badge tone="warn">until {new Date(file.expires_at).toLocaleDateString(undefined, { dateStyle: "medium" })}</Badge>
      ) : null}
    </span>
  );
}

function Owner({ file }: { file: FileMetadata }) {
  if (!file.scope) return <span className="muted">uploaded</span>;
  return (
    <Link to="/sessions/$sessionId/files" params={{ sessionId: file.scope.id }}>
      a session
    </Link>
  );
}
