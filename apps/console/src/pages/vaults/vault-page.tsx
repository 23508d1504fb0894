import type { Vault } from "@sandbox0/protocol";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { apiPath } from "../../api/api-path.ts";
import { problemText } from "../../api/problem.ts";
import { Confirm } from "../../resources/confirm.tsx";
import { Loaded } from "../../resources/loaded.tsx";
import { useChange, useResource } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Badge } from "../../ui/badge.tsx";
import { CopyId } from "../../ui/copy.tsx";
import { FormDialog } from "../../ui/dialog.tsx";
import { TextField } from "../../ui/field.tsx";
import { Menu } from "../../ui/menu.tsx";
import { Facts, PageHeader } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { Credentials } from "./credentials.tsx";
import { LLM_ROLE, ROLE_KEY } from "./vault-form.ts";

export function VaultPage() {
  const { vaultId } = useParams({ from: "/vaults/$vaultId" });
  const vault = useResource<Vault>(apiPath`/v1/vaults/${vaultId}`);
  return (
    <div className="page">
      <div className="page-inner">
        <Loaded reading={vault} label="Loading the vault">
          {(data) => <VaultDetails vault={data} />}
        </Loaded>
      </div>
    </div>
  );
}

function VaultDetails({ vault }: { vault: Vault }) {
  return (
    <>
      <PageHeader
        title={vault.display_name}
        crumbs={<Link to="/vaults">Vaults</Link>}
        badge={
          <>
            {vault.metadata[ROLE_KEY] === LLM_ROLE ? <Badge tone="violet">Model provider</Badge> : null}
            {vault.archived_at === null ? null : <Badge tone="warn">Archived</Badge>}
          </>
        }
        actions={<VaultActions vault={vault} />}
      />
      <Facts
        facts={[
          ["Created", <RelativeTime key="created" at={vault.created_at} />],
          ["Id", <CopyId key="id" id={vault.id} label="vault id" />],
          ...Object.entries(vault.metadata).map(([key, value]) => [key, <UntrustedLine key={key} text={value} />] as const),
        ]}
      />
      <Credentials vault={vault} />
    </>
  );
}

type Asked = "rename" | "archive" | "delete" | null;

function VaultActions({ vault }: { vault: Vault }) {
  const [asked, setAsked] = useState<Asked>(null);
  const navigate = useNavigate();
  const path = apiPath`/v1/vaults/${vault.id}`;
  const archived = vault.archived_at !== null;
  const close = () => setAsked(null);
  return (
    <>
      <Menu
        label="More actions"
        items={[
          { label: "Rename", disabled: archived, onSelect: () => setAsked("rename") },
          { label: "Archive", icon: "archive", disabled: archived, onSelect: () => setAsked("archive") },
          { label: "Delete", icon: "trash", tone: "bad", onSelect: () => setAsked("delete") },
        ]}
      />
      {asked === "rename" ? <RenameDialog vault={vault} onClose={close} /> : null}
      {asked === "archive" ? (
        <Confirm
          title="Archive this vault?"
          description="All its secrets are purged, also for sessions that run. The records stay. This cannot be undone."
          submitLabel="Archive vault"
          done="The vault was archived."
          run={(client) => client.post(`${path}/archive`)}
          onClose={close}
        />
      ) : null}
      {asked === "delete" ? (
        <Confirm
          title="Delete this vault?"
          description="The vault, its credentials and their secrets are removed for good, also for sessions that run."
          submitLabel="Delete vault"
          done="The vault was deleted."
          run={(client) => client.delete(path)}
          leave={() => void navigate({ to: "/vaults" })}
          onClose={close}
        />
      ) : null}
    </>
  );
}

function RenameDialog({ vault, onClose }: { vault: Vault; onClose(): void }) {
  const [name, setName] = useState(vault.display_name);
  const rename = useChange((client, displayName: string) =>
    client.post<Vault>(apiPath`/v1/vaults/${vault.id}`, { body: { display_name: displayName } }),
  );
  return (
    <FormDialog
      open
      onClose={onClose}
      title="Rename this vault"
      submitLabel="Rename vault"
      busy={rename.isPending}
      error={rename.error ? problemText(rename.error) : null}
      onSubmit={() => rename.mutate(name.trim(), { onSuccess: onClose })}
    >
      <TextField label="Name" required maxLength={255} value={name} onChange={(event) => setName(event.target.value)} />
    </FormDialog>
  );
}
