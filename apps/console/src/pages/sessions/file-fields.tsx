import { FilePicker, useFilePicks } from "../../resources/file-picker.tsx";
import type { FileRow } from "../../resources/file-row.ts";
import { FILE_PATH_HINT, FileRows } from "../../resources/file-rows.tsx";
import { useRowFocus } from "../../resources/use-row-focus.ts";
import { Button } from "../../ui/button.tsx";
import { FormDialog } from "../../ui/dialog.tsx";
import { FieldGroup } from "../../ui/field.tsx";
import type { Problems } from "./session-form.ts";

interface FileFieldsProps {
  rows: readonly FileRow[];
  onChange(rows: readonly FileRow[]): void;
  /** Opens `FileDialog`, which cannot be inside of a form: it has one itself. */
  onChoose(): void;
  problemsOf(row: FileRow): Problems;
}

/** The files that a session is given, and where. */
export function FileFields({ rows, onChange, onChoose, problemsOf }: FileFieldsProps) {
  const group = useRowFocus(rows.length);
  return (
    <FieldGroup
      legend="Files"
      hint={rows.length === 0 ? "The session has copies of them, to read." : FILE_PATH_HINT}
      groupRef={group}
    >
      <div className="stack stack-sm">
        <FileRows rows={rows} onChange={onChange} problemsOf={problemsOf} />
        <div>
          <Button size="small" icon="plus" onClick={onChoose}>
            Choose files…
          </Button>
        </div>
      </div>
    </FieldGroup>
  );
}

interface FileDialogProps {
  start: readonly FileRow[];
  onDone(rows: readonly FileRow[]): void;
  onClose(): void;
}

export function FileDialog({ start, onDone, onClose }: FileDialogProps) {
  const picks = useFilePicks(start);
  const count = picks.picked.length;
  return (
    <FormDialog
      open
      onClose={onClose}
      title="Choose files"
      description="Files that were uploaded before, or upload more."
      submitLabel={count === 0 ? "Use no files" : count === 1 ? "Use 1 file" : `Use ${count} files`}
      busy={picks.uploading}
      onSubmit={() => {
        onDone(picks.picked);
        onClose();
      }}
    >
      <FilePicker picks={picks} />
    </FormDialog>
  );
}
