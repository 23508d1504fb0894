import { change, nextId, without } from "../../resources/rows.ts";
import { useRowFocus } from "../../resources/use-row-focus.ts";
import { Button } from "../../ui/button.tsx";
import { FieldGroup, Select, TextField } from "../../ui/field.tsx";
import { emptyRepository, type Problems, type RepositoryRow } from "./session-form.ts";

interface RepositoryFieldsProps {
  rows: readonly RepositoryRow[];
  onChange(rows: readonly RepositoryRow[]): void;
  problemsOf(row: RepositoryRow): Problems;
}

export function RepositoryFields({ rows, onChange, problemsOf }: RepositoryFieldsProps) {
  const group = useRowFocus(rows.length);
  return (
    <FieldGroup legend="Repositories" hint="Cloned into the sandbox." groupRef={group}>
      <div className="stack">
        {rows.map((row, index) => (
          <RepositoryCard
            key={row.id}
            row={row}
            place={index + 1}
            problems={problemsOf(row)}
            onChange={(patch) => onChange(change(rows, row.id, patch))}
            onRemove={() => onChange(without(rows, row.id))}
          />
        ))}
        <div>
          <Button size="small" icon="plus" onClick={() => onChange([...rows, emptyRepository(nextId(rows))])}>
            Add repository
          </Button>
        </div>
      </div>
    </FieldGroup>
  );
}

const CHECKOUTS: readonly { value: RepositoryRow["checkout"]; label: string }[] = [
  { value: "default", label: "Its default branch" },
  { value: "branch", label: "A branch" },
  { value: "commit", label: "A commit" },
];

interface RepositoryCardProps {
  row: RepositoryRow;
  place: number;
  problems: Problems;
  onChange(patch: Partial<RepositoryRow>): void;
  onRemove(): void;
}

function RepositoryCard({ row, place, problems, onChange, onRemove }: RepositoryCardProps) {
  return (
    <section className="card card-body stack" aria-label={`Repository ${place}`} data-row>
      <TextField
        label="URL"
        type="url"
        mono
        required
        spellCheck={false}
        placeholder="https://github.com/owner/repository"
        value={row.url}
        error={problems.url ?? problems.resource}
        onChange={(event) => onChange({ url: event.target.value })}
      />
      <div className="form-grid">
        <Select
          label="What is checked out"
          options={CHECKOUTS}
          value={row.checkout}
          onChange={(event) => onChange({ checkout: event.target.value as RepositoryRow["checkout"] })}
        />
        {row.checkout === "default" ? null : (
          <TextField
            label={row.checkout === "branch" ? "Branch" : "Full hash of the commit"}
            mono
            required
            spellCheck={false}
            value={row.ref}
            error={problems.checkout}
            onChange={(event) => onChange({ ref: event.target.value })}
          />
        )}
      </div>
      <div className="form-grid">
        <TextField
          label="Access token"
          type="password"
          autoComplete="new-password"
          hint="For a private one. It is encrypted, never shown again, and not in the sandbox."
          value={row.token}
          error={problems.authorization_token}
          onChange={(event) => onChange({ token: event.target.value })}
        />
        <TextField
          label="Mount path"
          mono
          spellCheck={false}
          hint="Left empty: its name, in /workspace."
          value={row.path}
          error={problems.mount_path}
          onChange={(event) => onChange({ path: event.target.value })}
        />
      </div>
      <div className="row row-end">
        <Button size="small" variant="quiet" icon="trash" aria-label={`Remove repository ${place}`} onClick={onRemove}>
          Remove repository
        </Button>
      </div>
    </section>
  );
}
