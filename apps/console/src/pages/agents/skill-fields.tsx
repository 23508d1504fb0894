import type { SkillInfo } from "@sandbox0/protocol";
import { Loaded, LoadMore } from "../../resources/loaded.tsx";
import { useResourceList } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Checkbox, Select } from "../../ui/field.tsx";
import type { SkillRow } from "./agent-form.ts";

interface SkillFieldsProps {
  chosen: readonly SkillRow[];
  onChange(chosen: readonly SkillRow[]): void;
  error?: string | undefined;
}

const NEWEST = "newest";

/** The skills that the server has; those that it no longer has stay until they are taken out. */
export function SkillFields({ chosen, onChange, error }: SkillFieldsProps) {
  const list = useResourceList<SkillInfo>("/v1/skills");
  return (
    <fieldset className="fieldset">
      <legend className="field-label">Skills</legend>
      <Loaded reading={{ ...list, data: list.rows }} label="Loading skills">
        {(skills) => (
          <div className="stack stack-sm">
            {skills.length === 0 && chosen.length === 0 ? <p className="muted">There are no skills on this server yet.</p> : null}
            {choices(skills, chosen).map((skill) => (
              <SkillLine key={skill.row.skillId} {...skill} chosen={chosen} onChange={onChange} />
            ))}
            <LoadMore list={list} />
          </div>
        )}
      </Loaded>
      {error ? (
        <div className="field-error" role="alert">
          {error}
        </div>
      ) : null}
    </fieldset>
  );
}

interface SkillChoice {
  row: SkillRow;
  name: string;
}

function choices(skills: readonly SkillInfo[], chosen: readonly SkillRow[]): SkillChoice[] {
  const known = skills.map(
    ({ id, display_name: name, source }): SkillChoice => ({
      row: { type: source.type === "custom" ? "custom" : "anthropic", skillId: id, version: null },
      name,
    }),
  );
  const lost = chosen.filter(({ skillId }) => !skills.some(({ id }) => id === skillId));
  return [...known, ...lost.map((row) => ({ row, name: row.skillId }))];
}

interface SkillLineProps extends SkillChoice, Pick<SkillFieldsProps, "chosen" | "onChange"> {}

function SkillLine({ row, name, chosen, onChange }: SkillLineProps) {
  const current = chosen.find(({ skillId }) => skillId === row.skillId);
  const others = chosen.filter(({ skillId }) => skillId !== row.skillId);
  return (
    <div className="row row-between row-wrap">
      <Checkbox
        label={<UntrustedLine text={name} />}
        checked={current !== undefined}
        onChange={() => onChange(current === undefined ? [...chosen, row] : others)}
      />
      {current === undefined || current.version === null ? null : (
        <Select
          label={`Version of ${name}`}
          hideLabel
          auto
          options={[
            { value: current.version, label: `Version ${current.version}` },
            { value: NEWEST, label: "The newest" },
          ]}
          value={current.version}
          onChange={(event) => {
            if (event.target.value === NEWEST) onChange([...others, { ...current, version: null }]);
          }}
        />
      )}
    </div>
  );
}
