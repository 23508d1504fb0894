import { Button, IconButton } from "../ui/button.tsx";
import { TextField } from "../ui/field.tsx";
import type { MetadataRow } from "./metadata.ts";

interface MetadataFieldsProps {
  rows: readonly MetadataRow[];
  onChange(rows: readonly MetadataRow[]): void;
  error?: string | null | undefined;
}

/** Names and values that mean something to whoever wrote them. */
export function MetadataFields({ rows, onChange, error }: MetadataFieldsProps) {
  const change = (id: number, patch: Partial<MetadataRow>) =>
    onChange(rows.map((row) => (row.id === id ? { ...row, ...patch } : row)));
  const add = () => onChange([...rows, { id: Math.max(-1, ...rows.map((row) => row.id)) + 1, key: "", value: "" }]);
  return (
    <fieldset className="fieldset">
      <legend className="field-label">Metadata</legend>
      <div className="stack stack-sm">
        {rows.map((row, index) => (
          <div className="row" key={row.id}>
            <div className="grow">
              <TextField
                label={`Key ${index + 1}`}
                hideLabel
                mono
                placeholder="key"
                maxLength={64}
                value={row.key}
                onChange={(event) => change(row.id, { key: event.target.value })}
              />
            </div>
            <div className="grow">
              <TextField
                label={`Value ${index + 1}`}
                hideLabel
                placeholder="value"
                maxLength={512}
                value={row.value}
                onChange={(event) => change(row.id, { value: event.target.value })}
              />
            </div>
            <IconButton
              icon="close"
              label={`Remove pair ${index + 1}`}
              onClick={() => onChange(rows.filter((each) => each.id !== row.id))}
            />
          </div>
        ))}
        {error ? (
          <div className="field-error" role="alert">
            {error}
          </div>
        ) : null}
        <div>
          <Button size="small" icon="plus" onClick={add}>
            Add pair
          </Button>
        </div>
      </div>
    </fieldset>
  );
}
