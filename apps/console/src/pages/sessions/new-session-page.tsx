import type { Agent, Environment, Session, SessionCreateParams, Vault } from "@sandbox0/protocol";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { type ListPage, useClient } from "../../api/client.ts";
import { problemText } from "../../api/problem.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Button, buttonClass } from "../../ui/button.tsx";
import { Checkbox, Select, TextArea, TextField } from "../../ui/field.tsx";
import { Page } from "../../ui/page.tsx";
import { Callout, ErrorState, LoadingState } from "../../ui/states.tsx";

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

/** Chooses agent, environment and vaults, and says the first words. */
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
  const [agent, setAgent] = useState(choices.agents[0]?.id ?? "");
  const [environment, setEnvironment] = useState(choices.environments[0]?.id ?? "");
  const [vaults, setVaults] = useState<readonly string[]>([]);
  const [title, setTitle] = useState("");
  const [message, setMessage] = useState("");
  const create = useCreateSession();
  if (agent === "" || environment === "") return <Missing agents={choices.agents.length} />;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate(paramsOf({ agent, environment, vaults, title, message }));
  };
  return (
    <form className="stack stack-lg" onSubmit={submit}>
      <div className="form-grid">
        <Select label="Agent" options={optionsOf(choices.agents)} value={agent} onChange={(e) => setAgent(e.target.value)} />
        <Select
          label="Environment"
          options={optionsOf(choices.environments)}
          value={environment}
          onChange={(event) => setEnvironment(event.target.value)}
        />
      </div>
      <VaultChoice vaults={choices.vaults} chosen={vaults} onChange={setVaults} />
      <TextField label="Title" value={title} maxLength={1024} onChange={(event) => setTitle(event.target.value)} />
      <TextArea
        label="First message"
        hint="Left empty, the session waits for its first message."
        rows={5}
        value={message}
        onChange={(event) => setMessage(event.target.value)}
      />
      {create.error ? <Callout tone="bad">{problemText(create.error)}</Callout> : null}
      <div className="row">
        <Button type="submit" variant="primary" busy={create.isPending}>
          Start session
        </Button>
        <Link to="/sessions" className={buttonClass({ variant: "quiet" })}>
          Cancel
        </Link>
      </div>
    </form>
  );
}

function useCreateSession() {
  const client = useClient();
  const navigate = useNavigate();
  return useMutation({
    mutationFn: (params: SessionCreateParams) => client.post<Session>("/v1/sessions", { body: params, maxRetries: 0 }),
    onSuccess: (session) => navigate({ to: "/sessions/$sessionId", params: { sessionId: session.id } }),
  });
}

interface FormValues {
  agent: string;
  environment: string;
  vaults: readonly string[];
  title: string;
  message: string;
}

function paramsOf({ agent, environment, vaults, title, message }: FormValues): SessionCreateParams {
  const text = message.trim();
  return {
    agent,
    environment_id: environment,
    vault_ids: [...vaults],
    ...(title.trim() !== "" && { title: title.trim() }),
    ...(text !== "" && { initial_events: [{ type: "user.message", content: [{ type: "text", text }] }] }),
  };
}

function VaultChoice({ vaults, chosen, onChange }: VaultChoiceProps) {
  if (vaults.length === 0) return null;
  const toggle = (id: string) => onChange(chosen.includes(id) ? chosen.filter((each) => each !== id) : [...chosen, id]);
  return (
    <fieldset className="fieldset">
      <legend className="field-label">Vaults</legend>
      <div className="stack stack-sm">
        {vaults.map((vault) => (
          <Checkbox
            key={vault.id}
            label={<UntrustedLine text={vault.display_name} />}
            checked={chosen.includes(vault.id)}
            onChange={() => toggle(vault.id)}
          />
        ))}
      </div>
    </fieldset>
  );
}

interface VaultChoiceProps {
  vaults: readonly Vault[];
  chosen: readonly string[];
  onChange(ids: readonly string[]): void;
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
