import type { FileMetadata, ResourceAddParams } from "@sandbox0/protocol";
import { nextId, type Row } from "./rows.ts";

/** A file that a session shall be given, and where; an empty path is the server's choice. */
export interface FileRow extends Row {
  fileId: string;
  name: string;
  path: string;
}

/** Each file is put in once, and is called in the sandbox what it is called here, unless another one is. */
export function withFile(rows: readonly FileRow[], { id: fileId, filename: name }: FileMetadata): readonly FileRow[] {
  if (rows.some((row) => row.fileId === fileId)) return rows;
  const path = rows.some((row) => row.path === name) ? "" : name;
  return [...rows, { id: nextId(rows), fileId, name, path }];
}

/** As a request has it (contract §6.1). */
export function fileParams({ fileId, path }: FileRow): ResourceAddParams {
  return { type: "file", file_id: fileId, ...(path.trim() !== "" && { mount_path: path.trim() }) };
}
