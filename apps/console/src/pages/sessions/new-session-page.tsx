import type { Agent, Environment, Session, Vault } from "@sandbox0/protocol";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { type ListPage, useClient } from "../../api/client.ts";
import { describeProblem } from "../../api/problem.ts";
import { MetadataFields } from "../../resources/metadata-fields.tsx";
import { ONCE } from "../../resources/use-resources.ts";
import { Button, buttonClass } from "../../ui/button.tsx";
import { Select, TextArea, TextField } from "../../ui/field.tsx";
import { Page } from "../../ui/page.tsx";
import { Callout, ErrorState, LoadingState } from "../../ui/states.tsx";
import { FileDialog, FileFields } from "./file-fields.tsx";
import { RepositoryFields } from "./repository-fields.tsx";
import {
  emptySessionForm,
  fileKey,
  type Problems,
  repositoryKey,
  type SessionForm,
  type SessionProblems,
  sessionCreateParams,
  sessionProblems,
  storeKey,
} from "./session-form.ts";
import { StoreFields } from "./store-fields.tsx";
import { VaultFields } from "./vault-fields.tsx";

const TITLE_CHARS_MAX = 1_024;
const CHOICES_MAX = 100;

interface Choices {
  agents: readonly Agent[];
  environments: readonly Environment[];
  vaults: readonly Vault[];
}

function useChoices() {
  const client = useClient();
  return useQuery({
    queryKey: ["new-session-choices"],
    queryFn: async ({ signal }): Promise<Choices> => {
      const query = { limit: CHOICES_MAX };
      const [agents, environments, vaults] = await Promise.all([
        client.get<ListPage<Agent>>("/v1/agents", { query, signal }),
        client.get<ListPage<Environment>>("/v1/environments", { query, signal }),
        client.get<ListPage<Vault>>("/v1/vaults", { query, signal }),
      ]);
      return { agents: agents.data, environments: environments.data, vaults: vaults.data };
    },
  });
}

/** Chooses agent and environment, what the session is given, and says the first words. */
export function NewSessionPage() {
  const choices = useChoices();
  return (
    <Page title="New session" width="narrow" crumbs={<Link to="/sessions">Sessions</Link>}>
      {choices.isPending ? <LoadingState /> : null}
      {choices.error ? <ErrorState error={choices.error} onRetry={() => void choices.refetch()} /> : null}
      {choices.data ? <NewSessionForm choices={choices.data} /> : null}
    </Page>
  );
}

function NewSessionForm({ choices }: { choices: Choices }) {
  const [form, setForm] = useState(() => emptySessionForm(choices.agents[0]?.id ?? "", choices.environments[0]?.id ?? ""));
  const [choosing, setChoosing] = useState(false);
  const create = useCreateSession();
  if (form.agent === "" || form.environment === "") return <Missing agents={choices.agents.length} />;
  const change = (patch: Partial<SessionForm>) => setForm((old) => ({ ...old, ...patch }));
  const problems = sessionProblems(create.error, create.variables ?? form);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!create.isPending) create.mutate(form);
  };
  return (
    <>
      <form className="stack stack-lg" onSubmit={submit} noValidate>
        <Basics choices={choices} form={form} change={change} problems={problems.fields} />
        <Resources form={form} change={change} problems={problems} onChooseFiles={() => setChoosing(true)} />
        <VaultFields
          vaults={choices.vaults}
          chosen={form.vaults}
          onChange={(vaults) => change({ vaults })}
          error={problems.fields.vault_ids}
        />
        <MetadataFields rows={form.metadata} onChange={(metadata) => change({ metadata })} error={problems.fields.metadata} />
        {create.error ? <Refusal error={create.error} problems={problems} /> : null}
        <div className="row">
          <Button type="submit" variant="primary" busy={create.isPending}>
            Start session
          </Button>
          <Link to="/sessions" className={buttonClass({ variant: "quiet" })}>
            Cancel
          </Link>
        </div>
      </form>
      {choosing ? (
        <FileDialog start={form.files} onDone={(files) => change({ files })} onClose={() => setChoosing(false)} />
      ) : null}
    </>
  );
}

function Refusal({ error, problems: { fields, rest } }: { error: unknown; problems: SessionProblems }) {
  const said = [fields.resources, rest].filter((each) => typeof each === "string").join("; ");
  return (
    <Callout tone="bad">
      {said === "" ? (
        "Some fields need another look."
      ) : (
        <>
          <strong>{describeProblem(error).title}.</strong> {said}
        </>
      )}
    </Callout>
  );
}

interface PartProps<P> {
  form: SessionForm;
  change(patch: Partial<SessionForm>): void;
  problems: P;
}

function Basics({ choices, form, change, problems }: PartProps<Problems> & { choices: Choices }) {
  return (
    <>
      <div className="form-grid">
        <Select
          label="Agent"
          options={optionsOf(choices.agents)}
          value={form.agent}
          error={problems.agent}
          onChange={(event) => change({ agent: event.target.value })}
        />
        <Select
          label="Environment"
          options={optionsOf(choices.environments)}
          value={form.environment}
          error={problems.environment_id}
          onChange={(event) => change({ environment: event.target.value })}
        />
      </div>
      <TextField
        label="Title"
        value={form.title}
        maxLength={TITLE_CHARS_MAX}
        error={problems.title}
        onChange={(event) => change({ title: event.target.value })}
      />
      <TextArea
        label="First message"
        hint="Left empty, the session waits for its first message."
        rows={5}
        value={form.message}
        error={problems.initial_events}
        onChange={(event) => change({ message: event.target.value })}
      />
    </>
  );
}

const NO_PROBLEMS: Problems = {};

/** What the session is given to work with. */
function Resources({ form, change, problems, onChooseFiles }: PartProps<SessionProblems> & { onChooseFiles(): void }) {
  const of = (key: string): Problems => problems.rows.get(key) ?? NO_PROBLEMS;
  return (
    <>
      <FileFields
        rows={form.files}
        onChange={(files) => change({ files })}
        onChoose={onChooseFiles}
        problemsOf={(row) => of(fileKey(row))}
      />
      <RepositoryFields
        rows={form.repositories}
        onChange={(repositories) => change({ repositories })}
        problemsOf={(row) => of(repositoryKey(row))}
      />
      <StoreFields chosen={form.stores} onChange={(stores) => change({ stores })} problemsOf={(row) => of(storeKey(row))} />
    </>
  );
}

function useCreateSession() {
  const client = useClient();
  const navigate = useNavigate();
  return useMutation({
    mutationFn: (form: SessionForm) => client.post<Session>("/v1/sessions", { body: sessionCreateParams(form), ...ONCE }),
    onSuccess: (session) => void navigate({ to: "/sessions/$sessionId", params: { sessionId: session.id } }),
    // A form may have a token in it, which is not kept.
    gcTime: 0,
  });
}

function optionsOf(things: readonly { id: string; name: string }[]) {
  return things.map(({ id, name }) => ({ value: id, label: name }));
}

function Missing({ agents }: { agents: number }) {
  return (
    <Callout tone="info">
      A session needs an agent and an environment. {agents === 0 ? "Create an agent first." : "Create an environment first."}
    </Callout>
  );
}
