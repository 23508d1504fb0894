import type { MemoryStore } from "@sandbox0/protocol";
import { Loaded, LoadMore } from "../../resources/loaded.tsx";
import { useResourceList } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { plainLine } from "../../text/untrusted-text.ts";
import { Checkbox, FieldGroup, Select, TextArea } from "../../ui/field.tsx";
import type { Problems, StoreRow } from "./session-form.ts";

interface StoreFieldsProps {
  chosen: readonly StoreRow[];
  onChange(chosen: readonly StoreRow[]): void;
  problemsOf(row: StoreRow): Problems;
}

/** The memory stores of the server; each one that is chosen with what the session may do with it. */
export function StoreFields({ chosen, onChange, problemsOf }: StoreFieldsProps) {
  const list = useResourceList<MemoryStore>("/v1/memory_stores");
  const choose = (storeId: string, at: number) =>
    at === -1
      ? onChange([...chosen, { storeId, access: "read_write", instructions: "" }])
      : onChange(chosen.filter((row) => row.storeId !== storeId));
  return (
    <FieldGroup legend="Memory stores" hint="What the agent remembers from one session to the next.">
      <Loaded reading={{ ...list, data: list.rows }} label="Loading memory stores">
        {(stores) => (
          <div className="stack stack-sm">
            {stores.length === 0 ? <p className="muted">There are no memory stores on this server yet.</p> : null}
            {stores.map(({ id, name }) => {
              const at = chosen.findIndex((row) => row.storeId === id);
              const row = chosen[at];
              return (
                <div key={id} className="stack stack-sm">
                  <Checkbox label={<UntrustedLine text={name} />} checked={row !== undefined} onChange={() => choose(id, at)} />
                  {row ? (
                    <StoreUse
                      name={name}
                      row={row}
                      problems={problemsOf(row)}
                      onChange={(patch) => onChange(chosen.with(at, { ...row, ...patch }))}
                    />
                  ) : null}
                </div>
              );
            })}
            <LoadMore list={list} />
          </div>
        )}
      </Loaded>
    </FieldGroup>
  );
}

const ACCESS: readonly { value: StoreRow["access"]; label: string }[] = [
  { value: "read_write", label: "Reads and writes" },
  { value: "read_only", label: "Reads only" },
];
/** Of contract §6.1. */
const INSTRUCTIONS_CHARS_MAX = 4_096;

interface StoreUseProps {
  name: string;
  row: StoreRow;
  problems: Problems;
  onChange(patch: Partial<StoreRow>): void;
}

function StoreUse({ name, row, problems, onChange }: StoreUseProps) {
  return (
    <section className="card card-body stack" aria-label={`Use of ${plainLine(name)}`}>
      <Select
        label={`Access to ${name}`}
        options={ACCESS}
        value={row.access}
        error={problems.access ?? problems.memory_store_id ?? problems.resource}
        onChange={(event) => onChange({ access: event.target.value as StoreRow["access"] })}
      />
      <TextArea
        label={`Instructions for ${name}`}
        hint="What it is for, and when to look into it. The agent reads them."
        rows={2}
        maxLength={INSTRUCTIONS_CHARS_MAX}
        value={row.instructions}
        error={problems.instructions}
        onChange={(event) => onChange({ instructions: event.target.value })}
      />
    </section>
  );
}
