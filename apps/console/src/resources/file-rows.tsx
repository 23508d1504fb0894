import { UntrustedLine } from "../text/untrusted.tsx";
import { plainLine } from "../text/untrusted-text.ts";
import { IconButton } from "../ui/button.tsx";
import { TextField } from "../ui/field.tsx";
import type { FileRow } from "./file-row.ts";
import { change, without } from "./rows.ts";

interface FileRowsProps {
  rows: readonly FileRow[];
  onChange(rows: readonly FileRow[]): void;
  /** What is wrong with a row, by the names of the request. */
  problemsOf(row: FileRow): Readonly<Record<string, string>>;
}

/** Files that were chosen, and where each will be. */
export function FileRows({ rows, onChange, problemsOf }: FileRowsProps) {
  if (rows.length === 0) return null;
  return (
    <ul className="stack stack-sm" aria-label="Chosen files">
      {rows.map((row) => {
        const problems = problemsOf(row);
        return (
          <li key={row.id} className="chosen-file" data-row>
            <span className="truncate" title={plainLine(row.name)}>
              <UntrustedLine text={row.name} />
            </span>
            <TextField
              label={`Path of ${plainLine(row.name)}`}
              hideLabel
              mono
              autoComplete="off"
              spellCheck={false}
              placeholder={row.fileId}
              value={row.path}
              error={problems.mount_path ?? problems.file_id ?? problems.resource}
              onChange={(event) => onChange(change(rows, row.id, { path: event.target.value }))}
            />
            <IconButton icon="close" label={`Leave out ${plainLine(row.name)}`} onClick={() => onChange(without(rows, row.id))} />
          </li>
        );
      })}
    </ul>
  );
}

export const FILE_PATH_HINT = "A path is below /mnt/session/uploads; left empty, it is the file's id.";
