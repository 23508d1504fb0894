import { useState } from "react";
import { useSessionResources } from "../../api/sessions.ts";
import { fieldProblems } from "../../resources/field-problems.ts";
import { FilePicker, useFilePicks } from "../../resources/file-picker.tsx";
import { fileParams } from "../../resources/file-row.ts";
import { FILE_PATH_HINT, FileRows } from "../../resources/file-rows.tsx";
import { FormDialog } from "../../ui/dialog.tsx";
import { useToast } from "../../ui/toast.tsx";

const FIELDS = ["file_id", "mount_path"];

/** Adds one file after the other; at the first that is refused it stops, and the rest stays chosen. */
export function AddFilesDialog({ sessionId, onClose }: { sessionId: string; onClose(): void }) {
  const { add } = useSessionResources(sessionId);
  const picks = useFilePicks([]);
  const { picked: rows, setPicked: setRows } = picks;
  const [refused, setRefused] = useState<{ id: number; error: unknown } | null>(null);
  const [busy, setBusy] = useState(false);
  const toast = useToast();
  const submit = async () => {
    setBusy(true);
    setRefused(null);
    for (const row of rows) {
      try {
        await add.mutateAsync(fileParams(row));
      } catch (error) {
        setRefused({ id: row.id, error });
        setBusy(false);
        return;
      }
      setRows((before) => before.filter(({ id }) => id !== row.id));
    }
    onClose();
    toast(rows.length === 1 ? "The file was added." : "The files were added.");
  };
  const { fields, rest } = fieldProblems(refused?.error, FIELDS);
  return (
    <FormDialog
      open
      onClose={onClose}
      title="Add files"
      description="The session has copies of them, to read, from the next call on."
      submitLabel={rows.length === 1 ? "Add 1 file" : `Add ${rows.length} files`}
      disabled={rows.length === 0}
      busy={busy || picks.uploading}
      error={rest}
      onSubmit={() => void submit()}
    >
      <FilePicker picks={picks} />
      {rows.length > 0 ? <p className="field-hint">{FILE_PATH_HINT}</p> : null}
      <FileRows rows={rows} onChange={setRows} problemsOf={(row) => (row.id === refused?.id ? fields : {})} />
    </FormDialog>
  );
}
