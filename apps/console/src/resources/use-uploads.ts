import type { FileMetadata } from "@sandbox0/protocol";
import { useQueryClient } from "@tanstack/react-query";
import { useReducer } from "react";
import { useClient } from "../api/client.ts";
import { problemText } from "../api/problem.ts";
import { upload } from "./upload.ts";
import { type Upload, uploadsReducer } from "./uploads.ts";
import { resourceKey } from "./use-resources.ts";

export interface UploadsInHand {
  uploads: readonly Upload[];
  add(files: readonly File[]): void;
  dismiss(id: number): void;
}

/**
 * Uploads files one after the other: a server of one machine gains nothing from several at once.
 * @param onStored is told of each file when the server has it
 */
export function useUploads(onStored?: (file: FileMetadata) => void): UploadsInHand {
  const client = useClient();
  const queries = useQueryClient();
  const [{ uploads, nextId }, dispatch] = useReducer(uploadsReducer, { uploads: [], nextId: 0 });
  const send = async (id: number, file: File) => {
    const form = new FormData();
    form.append("file", file, file.name);
    const onProgress = (fraction: number) => dispatch({ type: "progress", id, fraction });
    try {
      const stored = await upload<FileMetadata>(client, "/v1/files", form, { onProgress });
      dispatch({ type: "finished", id });
      onStored?.(stored);
      await queries.invalidateQueries({ queryKey: resourceKey("/v1/files") });
    } catch (error) {
      dispatch({ type: "failed", id, problem: problemText(error) });
    }
  };
  const add = (files: readonly File[]) => {
    dispatch({ type: "added", names: files.map(({ name }) => name) });
    void (async () => {
      for (const [index, file] of files.entries()) await send(nextId + index, file);
    })();
  };
  return { uploads, add, dismiss: (id) => dispatch({ type: "dismissed", id }) };
}
