import type { FileMetadata } from "@sandbox0/protocol";
import { useState } from "react";
import { UntrustedLine } from "../text/untrusted.tsx";
import { Checkbox, TextField } from "../ui/field.tsx";
import { formatBytes } from "../ui/format.ts";
import { RelativeTime } from "../ui/relative-time.tsx";
import { FileDrop } from "./file-drop.tsx";
import { type FileRow, withFile } from "./file-row.ts";
import { Loaded, LoadMore } from "./loaded.tsx";
import { UploadList } from "./upload-list.tsx";
import { useResourceList } from "./use-resources.ts";
import { type UploadsInHand, useUploads } from "./use-uploads.ts";

/** A page has what sessions wrote, too, which is not shown here. */
const PAGE_FILES = 500;

export interface FilePicks {
  picked: readonly FileRow[];
  setPicked(change: readonly FileRow[] | ((picked: readonly FileRow[]) => readonly FileRow[])): void;
  uploads: UploadsInHand;
  /** What is still on its way would not be among those that are picked. */
  uploading: boolean;
}

/** What a `FilePicker` picks; what is uploaded in it is picked. */
export function useFilePicks(start: readonly FileRow[]): FilePicks {
  const [picked, setPicked] = useState(start);
  const uploads = useUploads((file) => setPicked((rows) => withFile(rows, file)));
  return { picked, setPicked, uploads, uploading: uploads.uploads.some(({ state }) => state !== "failed") };
}

/** The files that were uploaded, to choose from, and a place to upload more. */
export function FilePicker({ picks: { picked, setPicked, uploads } }: { picks: FilePicks }) {
  const list = useResourceList<FileMetadata>("/v1/files", { limit: PAGE_FILES });
  const [sought, setSought] = useState("");
  const toggle = (file: FileMetadata) =>
    setPicked((rows) =>
      rows.some(({ fileId }) => fileId === file.id) ? rows.filter(({ fileId }) => fileId !== file.id) : withFile(rows, file),
    );
  return (
    <div className="stack">
      <FileDrop label="Upload files" multiple onFiles={uploads.add} />
      <UploadList uploads={uploads.uploads} onDismiss={uploads.dismiss} />
      <Loaded reading={{ ...list, data: list.rows }} label="Loading files">
        {(rows) => {
          const uploaded = rows.filter((file) => !file.scope);
          return (
            <div className="stack stack-sm">
              {uploaded.length > 0 ? (
                <TextField
                  label="Find a file"
                  hideLabel
                  type="search"
                  placeholder="Find a file by its name"
                  value={sought}
                  onChange={(event) => setSought(event.target.value)}
                  onKeyDown={(event) => {
                    // It looks for files; it does not send the form around it.
                    if (event.key === "Enter") event.preventDefault();
                  }}
                />
              ) : null}
              <FileChoice files={uploaded} sought={sought} picked={picked} onToggle={toggle} />
              <LoadMore list={list} />
            </div>
          );
        }}
      </Loaded>
    </div>
  );
}

interface FileChoiceProps {
  files: readonly FileMetadata[];
  sought: string;
  picked: readonly FileRow[];
  onToggle(file: FileMetadata): void;
}

function FileChoice({ files, sought, picked, onToggle }: FileChoiceProps) {
  const found = files.filter(({ filename }) => filename.toLowerCase().includes(sought.trim().toLowerCase()));
  if (found.length === 0)
    return <p className="muted">{files.length === 0 ? "Nothing has been uploaded yet." : "No file has a name like that."}</p>;
  return (
    <ul className="file-choice" aria-label="Uploaded files">
      {found.map((file) => (
        <li key={file.id} className="row row-between">
          <Checkbox
            label={<UntrustedLine text={file.filename} />}
            checked={picked.some(({ fileId }) => fileId === file.id)}
            onChange={() => onToggle(file)}
          />
          <span className="muted small file-choice-facts">
            {formatBytes(file.size_bytes)}, <RelativeTime at={file.created_at} />
          </span>
        </li>
      ))}
    </ul>
  );
}
