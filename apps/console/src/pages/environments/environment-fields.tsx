import { Link, type LinkProps } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { describeProblem } from "../../api/problem.ts";
import { fieldProblems } from "../../resources/field-problems.ts";
import { MetadataFields } from "../../resources/metadata-fields.tsx";
import { Button, buttonClass } from "../../ui/button.tsx";
import { Checkbox, Select, TextArea, TextField } from "../../ui/field.tsx";
import { Callout } from "../../ui/states.tsx";
import { type EnvironmentForm, MANAGERS } from "./environment-form.ts";

const HOSTS = "config.networking.allowed_hosts";
const REGISTRIES = "config.networking.allow_package_managers";
const FIELDS = ["name", "description", HOSTS, REGISTRIES, "config.packages", "metadata"] as const;
/** Of one value of the metadata, which the setup is. */
const SETUP_CHARS_MAX = 512;

interface EnvironmentFieldsProps {
  start: EnvironmentForm;
  /** What it is made of cannot be changed later. */
  isNew: boolean;
  submitLabel: string;
  cancel: LinkProps;
  busy: boolean;
  error: unknown;
  onSubmit(form: EnvironmentForm): void;
}

/** The form of an environment, new or old. */
export function EnvironmentFields({ start, isNew, submitLabel, cancel, busy, error, onSubmit }: EnvironmentFieldsProps) {
  const [form, setForm] = useState(start);
  const change = (patch: Partial<EnvironmentForm>) => setForm((old) => ({ ...old, ...patch }));
  const refused = fieldProblems(error, FIELDS);
  const parts = { form, change, problems: refused.fields };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!busy) onSubmit(form);
  };
  return (
    <form className="stack stack-lg" onSubmit={submit} noValidate>
      <TextField
        label="Name"
        required
        maxLength={256}
        value={form.name}
        error={refused.fields.name}
        onChange={(event) => change({ name: event.target.value })}
      />
      <TextField
        label="Description"
        maxLength={2048}
        value={form.description}
        error={refused.fields.description}
        onChange={(event) => change({ description: event.target.value })}
      />
      {isNew ? (
        <Select
          label="Sandboxes"
          options={[
            { value: "cloud", label: "This server runs them" },
            { value: "self_hosted", label: "Workers of your own run them" },
          ]}
          value={form.type}
          onChange={(event) => change({ type: event.target.value as EnvironmentForm["type"] })}
        />
      ) : null}
      {form.type === "cloud" ? (
        <>
          <NetworkFields {...parts} />
          <PackageFields {...parts} />
        </>
      ) : null}
      <MetadataFields rows={form.metadata} onChange={(metadata) => change({ metadata })} error={refused.fields.metadata} />
      {error ? (
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
  form: EnvironmentForm;
  change(patch: Partial<EnvironmentForm>): void;
  problems: Readonly<Record<string, string>>;
}

function NetworkFields({ form, change, problems }: PartProps) {
  return (
    <fieldset className="fieldset">
      <legend className="field-label">Network</legend>
      <div className="stack">
        <Select
          label="Where sandboxes may go"
          options={[
            { value: "limited", label: "Only to the hosts named here" },
            { value: "unrestricted", label: "To every public host" },
          ]}
          value={form.network}
          onChange={(event) => change({ network: event.target.value as EnvironmentForm["network"] })}
        />
        {form.network === "limited" ? (
          <>
            <TextArea
              label="Allowed hosts"
              hint="One a line: api.example.com, or *.example.com for every host below. Empty: none."
              mono
              rows={4}
              spellCheck={false}
              value={form.hosts}
              error={problems[HOSTS]}
              onChange={(event) => change({ hosts: event.target.value })}
            />
            <Checkbox
              label="The agent's MCP servers, too"
              checked={form.allowMcpServers}
              onChange={(event) => change({ allowMcpServers: event.target.checked })}
            />
            <Checkbox
              label="Package registries, too"
              checked={form.allowPackageManagers}
              onChange={(event) => change({ allowPackageManagers: event.target.checked })}
            />
            {problems[REGISTRIES] ? (
              <div className="field-error" role="alert">
                {problems[REGISTRIES]}
              </div>
            ) : null}
          </>
        ) : null}
      </div>
    </fieldset>
  );
}

const EXAMPLES: Readonly<Record<(typeof MANAGERS)[number], string>> = {
  apt: "ffmpeg",
  cargo: "ripgrep@14.1.1",
  gem: "rake:13.2.1",
  go: "golang.org/x/tools/gopls@latest",
  npm: "prettier@3",
  pip: "pandas==2.2.3",
};

function PackageFields({ form, change, problems }: PartProps) {
  return (
    <fieldset className="fieldset">
      <legend className="field-label">Packages and setup</legend>
      <p className="field-hint">
        One package a line, with versions as its manager writes them. They are installed once, ahead of sessions.
      </p>
      <div className="stack">
        <div className="form-grid">
          {MANAGERS.map((manager) => (
            <TextArea
              key={manager}
              label={manager}
              mono
              rows={2}
              spellCheck={false}
              placeholder={EXAMPLES[manager]}
              value={form.packages[manager]}
              onChange={(event) => change({ packages: { ...form.packages, [manager]: event.target.value } })}
            />
          ))}
        </div>
        {problems["config.packages"] ? (
          <div className="field-error" role="alert">
            {problems["config.packages"]}
          </div>
        ) : null}
        <TextArea
          label="Setup"
          hint="Shell commands that run behind the packages."
          mono
          rows={3}
          maxLength={SETUP_CHARS_MAX}
          spellCheck={false}
          value={form.setup}
          onChange={(event) => change({ setup: event.target.value })}
        />
        <TextField
          label="Image"
          hint="Left empty: the system of the machine. Else a reference as “docker pull” takes it, or the id of an uploaded file."
          mono
          maxLength={SETUP_CHARS_MAX}
          spellCheck={false}
          value={form.image}
          onChange={(event) => change({ image: event.target.value })}
        />
      </div>
    </fieldset>
  );
}
