import type { HarnessInfo, ModelInfo } from "@sandbox0/protocol";
import { Link, type LinkProps } from "@tanstack/react-router";
import { type FormEvent, useId, useState } from "react";
import { describeProblem } from "../../api/problem.ts";
import { fieldProblems } from "../../resources/field-problems.ts";
import { MetadataFields } from "../../resources/metadata-fields.tsx";
import { useResource } from "../../resources/use-resources.ts";
import { Button, buttonClass } from "../../ui/button.tsx";
import { Select, TextArea, TextField } from "../../ui/field.tsx";
import { Callout } from "../../ui/states.tsx";
import { type AgentForm, FormProblem } from "./agent-form.ts";
import { SkillFields } from "./skill-fields.tsx";
import { BuiltinFields, CustomToolFields, ServerFields } from "./tool-fields.tsx";

const FIELDS = ["name", "description", "model", "model.id", "system", "tools", "mcp_servers", "skills", "metadata"] as const;
type Problems = Partial<Record<(typeof FIELDS)[number], string>>;

interface AgentFieldsProps {
  start: AgentForm;
  submitLabel: string;
  cancel: LinkProps;
  busy: boolean;
  error: unknown;
  /** @throws FormProblem */
  onSubmit(form: AgentForm): void;
}

/** The form of an agent, new or old. */
export function AgentFields({ start, submitLabel, cancel, busy, error, onSubmit }: AgentFieldsProps) {
  const [form, setForm] = useState(start);
  const [local, setLocal] = useState<FormProblem | null>(null);
  const change = (patch: Partial<AgentForm>) => setForm((old) => ({ ...old, ...patch }));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (busy) return;
    setLocal(null);
    try {
      onSubmit(form);
    } catch (problem) {
      if (!(problem instanceof FormProblem)) throw problem;
      setLocal(problem);
    }
  };
  const refused = fieldProblems(error, FIELDS);
  const problems: Problems = local ? { [local.field]: local.message } : refused.fields;
  return (
    <form className="stack stack-lg" onSubmit={submit} noValidate>
      <Basics form={form} change={change} problems={problems} />
      <BuiltinFields choices={form.builtin} onChange={(builtin) => change({ builtin })} error={problems.tools} />
      <ServerFields servers={form.servers} onChange={(servers) => change({ servers })} error={problems.mcp_servers} />
      <CustomToolFields tools={form.custom} onChange={(custom) => change({ custom })} />
      <SkillFields chosen={form.skills} onChange={(skills) => change({ skills })} error={problems.skills} />
      <HarnessField harness={form.harness} onChange={(harness) => change({ harness })} />
      <MetadataFields rows={form.metadata} onChange={(metadata) => change({ metadata })} error={problems.metadata} />
      {error && !local ? (
        <Callout tone="bad">
          {refused.rest === null ? (
            "Some fields need another look."
          ) : (
            <>
              <strong>{describeProblem(error).title}.</strong> {refused.rest}
            </>
          )}
        </Callout>
      ) : null}
      <div className="row">
        <Button type="submit" variant="primary" busy={busy}>
          {submitLabel}
        </Button>
        <Link {...cancel} className={buttonClass({ variant: "quiet" })}>
          Cancel
        </Link>
      </div>
    </form>
  );
}

interface PartProps {
  form: AgentForm;
  change(patch: Partial<AgentForm>): void;
  problems: Problems;
}

function Basics({ form, change, problems }: PartProps) {
  return (
    <>
      <TextField
        label="Name"
        required
        maxLength={256}
        value={form.name}
        error={problems.name}
        onChange={(event) => change({ name: event.target.value })}
      />
      <ModelFields form={form} change={change} problems={problems} />
      <TextArea
        label="System prompt"
        hint="What the agent is, and how it works."
        rows={8}
        value={form.system}
        error={problems.system}
        onChange={(event) => change({ system: event.target.value })}
      />
      <TextField
        label="Description"
        hint="For people, and for agents that may set this one to work."
        maxLength={2048}
        value={form.description}
        error={problems.description}
        onChange={(event) => change({ description: event.target.value })}
      />
    </>
  );
}

const EFFORTS = [
  { value: "", label: "Default" },
  ...(["low", "medium", "high", "xhigh", "max"] as const).map((value) => ({ value, label: value })),
];
const SPEEDS = [
  { value: "", label: "Standard" },
  { value: "fast", label: "Fast" },
];

function ModelFields({ form, change, problems }: PartProps) {
  const models = useResource<{ data: ModelInfo[] }>("/v1/models", { query: { limit: 1_000 } });
  const list = useId();
  return (
    <div className="form-grid model-fields">
      <div>
        <TextField
          label="Model"
          required
          mono
          list={list}
          autoComplete="off"
          spellCheck={false}
          value={form.model}
          error={problems.model ?? problems["model.id"]}
          onChange={(event) => change({ model: event.target.value })}
        />
        <datalist id={list}>
          {models.data?.data.map((model) => (
            <option key={model.id} value={model.id}>
              {model.display_name}
            </option>
          ))}
        </datalist>
      </div>
      <Select
        label="Effort"
        options={EFFORTS}
        value={form.effort}
        onChange={(event) => change({ effort: event.target.value as AgentForm["effort"] })}
      />
      <Select
        label="Speed"
        options={SPEEDS}
        value={form.speed === "standard" ? "" : form.speed}
        onChange={(event) => change({ speed: event.target.value as AgentForm["speed"] })}
      />
    </div>
  );
}

/** What the server has, and what the agent says although the server lacks it. */
function HarnessField({ harness, onChange }: { harness: string; onChange(harness: string): void }) {
  const { data } = useResource<{ data: HarnessInfo[] }>("/sandbox0/v1/harnesses");
  const known = data?.data ?? [];
  const standard = known.find((each) => each.default);
  const options = [
    { value: "", label: standard ? `The server's default (${standard.name})` : "The server's default" },
    ...known.map((each) => ({ value: each.name, label: each.available ? each.name : `${each.name} (not available here)` })),
    ...(harness === "" || known.some((each) => each.name === harness) ? [] : [{ value: harness, label: harness }]),
  ];
  return (
    <Select
      label="Harness"
      hint="The loop that runs its sessions. A session keeps its harness for life."
      options={options}
      value={harness}
      onChange={(event) => onChange(event.target.value)}
    />
  );
}
