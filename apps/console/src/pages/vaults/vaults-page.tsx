import type { HarnessInfo, Vault } from "@sandbox0/protocol";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { fieldProblems } from "../../resources/field-problems.ts";
import { ListTable } from "../../resources/loaded.tsx";
import { ONCE, useChange, useResource, useResourceList } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Badge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { CopyId } from "../../ui/copy.tsx";
import { FormDialog } from "../../ui/dialog.tsx";
import { Checkbox, Select, TextField } from "../../ui/field.tsx";
import { Page } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { LLM_ROLE, ROLE_KEY, type VaultForm, vaultCreateParams } from "./vault-form.ts";

export function VaultsPage() {
  const [archived, setArchived] = useState(false);
  const [making, setMaking] = useState(false);
  const list = useResourceList<Vault>("/v1/vaults", { ...(archived && { include_archived: true }) });
  return (
    <Page
      title="Vaults"
      description="Secrets that agents use and never see. They go in, and nothing shows them again."
      actions={
        <Button variant="primary" icon="plus" onClick={() => setMaking(true)}>
          New vault
        </Button>
      }
    >
      <div className="toolbar">
        <Checkbox label="Archived, too" checked={archived} onChange={(event) => setArchived(event.target.checked)} />
      </div>
      <ListTable
        caption="Vaults"
        list={list}
        icon="vault"
        emptyTitle="No vaults yet"
        empty={<p>Put tokens for MCP servers and keys for commands in a vault, then name it when you start a session.</p>}
        rowKey={(vault) => vault.id}
        columns={[
          { title: "Name", cell: (vault) => <VaultLink vault={vault} /> },
          { title: "Changed", cell: (vault) => <RelativeTime at={vault.updated_at} /> },
          { title: "Id", minor: true, cell: (vault) => <CopyId id={vault.id} label="vault id" /> },
        ]}
      />
      {making ? <NewVaultDialog onClose={() => setMaking(false)} /> : null}
    </Page>
  );
}

function VaultLink({ vault }: { vault: Vault }) {
  return (
    <span className="row">
      <Link to="/vaults/$vaultId" params={{ vaultId: vault.id }} className="table-link truncate">
        <UntrustedLine text={vault.display_name} />
      </Link>
      {vault.metadata[ROLE_KEY] === LLM_ROLE ? <Badge tone="violet">Model provider</Badge> : null}
      {vault.archived_at === null ? null : <Badge>Archived</Badge>}
    </span>
  );
}

function NewVaultDialog({ onClose }: { onClose(): void }) {
  const [form, setForm] = useState<VaultForm>({ displayName: "", llm: false, baseUrl: "", engine: "" });
  const change = (patch: Partial<VaultForm>) => setForm((old) => ({ ...old, ...patch }));
  const create = useChange((client, values: VaultForm) =>
    client.post<Vault>("/v1/vaults", { body: vaultCreateParams(values), ...ONCE }),
  );
  const navigate = useNavigate();
  const refused = fieldProblems(create.error, ["display_name", "metadata"]);
  return (
    <FormDialog
      open
      onClose={onClose}
      title="New vault"
      submitLabel="Create vault"
      busy={create.isPending}
      error={refused.rest ?? refused.fields.metadata}
      onSubmit={() =>
        create.mutate(form, { onSuccess: (vault) => void navigate({ to: "/vaults/$vaultId", params: { vaultId: vault.id } }) })
      }
    >
      <TextField
        label="Name"
        required
        maxLength={255}
        value={form.displayName}
        error={refused.fields.display_name}
        onChange={(event) => change({ displayName: event.target.value })}
      />
      <Checkbox
        label="For a model provider of your own"
        checked={form.llm}
        onChange={(event) => change({ llm: event.target.checked })}
      />
      {form.llm ? <ProviderFields form={form} change={change} /> : null}
    </FormDialog>
  );
}

function ProviderFields({ form, change }: { form: VaultForm; change(patch: Partial<VaultForm>): void }) {
  const { data } = useResource<{ data: HarnessInfo[] }>("/sandbox0/v1/harnesses");
  return (
    <>
      <TextField
        label="Address of the provider"
        hint="Left empty: where the server's own models are."
        type="url"
        mono
        placeholder="https://models.example.com/v1"
        value={form.baseUrl}
        onChange={(event) => change({ baseUrl: event.target.value })}
      />
      <Select
        label="Harness"
        options={[
          { value: "", label: "As the agent or the server says" },
          ...(data?.data ?? []).map(({ name }) => ({ value: name, label: name })),
        ]}
        value={form.engine}
        onChange={(event) => change({ engine: event.target.value })}
      />
      <p className="field-hint">Then add its key as a bearer token without a server.</p>
    </>
  );
}
