import type { Credential, CredentialAuth, Vault } from "@sandbox0/protocol";
import { useState } from "react";
import { apiPath } from "../../api/api-path.ts";
import { Confirm } from "../../resources/confirm.tsx";
import { ListTable } from "../../resources/loaded.tsx";
import { useResourceList } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Badge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { Checkbox } from "../../ui/field.tsx";
import { Menu } from "../../ui/menu.tsx";
import { Section } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { ChangeCredentialDialog, NewCredentialDialog } from "./credential-dialogs.tsx";
import { KIND_LABELS } from "./credential-form.ts";
import { ValidationDialog } from "./validation-dialog.tsx";

type Asked = { what: "new" } | { what: "change" | "validate" | "archive" | "delete"; credential: Credential } | null;

export function Credentials({ vault }: { vault: Vault }) {
  const [archived, setArchived] = useState(false);
  const [asked, setAsked] = useState<Asked>(null);
  const list = useResourceList<Credential>(apiPath`/v1/vaults/${vault.id}/credentials`, {
    ...((archived || vault.archived_at !== null) && { include_archived: true }),
  });
  return (
    <Section
      title="Credentials"
      actions={
        vault.archived_at === null ? (
          <Button variant="primary" size="small" icon="plus" onClick={() => setAsked({ what: "new" })}>
            Add credential
          </Button>
        ) : null
      }
    >
      {vault.archived_at === null ? (
        <div className="toolbar">
          <Checkbox label="Archived, too" checked={archived} onChange={(event) => setArchived(event.target.checked)} />
        </div>
      ) : null}
      <ListTable
        caption="Credentials of the vault"
        list={list}
        icon="vault"
        emptyTitle="No credentials here"
        empty={<p>Add a token for an MCP server, or a key that commands in a sandbox send to a host.</p>}
        rowKey={(credential) => credential.id}
        columns={[
          { title: "For", cell: (credential) => <CredentialName credential={credential} /> },
          { title: "Kind", minor: true, cell: ({ auth }) => KIND_LABELS[auth.type] },
          { title: "Where", minor: true, cell: ({ auth }) => <Where auth={auth} /> },
          { title: "Changed", minor: true, cell: (credential) => <RelativeTime at={credential.updated_at} /> },
          { title: "", cell: (credential) => <CredentialMenu credential={credential} onAsk={setAsked} /> },
        ]}
      />
      <CredentialDialog vault={vault} asked={asked} onClose={() => setAsked(null)} />
    </Section>
  );
}

/** What it is for, as one name. */
function subjectOf(auth: CredentialAuth): string {
  if (auth.type === "environment_variable") return auth.secret_name;
  return auth.mcp_server_url === "" ? "The model provider" : auth.mcp_server_url;
}

function CredentialName({ credential }: { credential: Credential }) {
  const subject = subjectOf(credential.auth);
  return (
    <span className="row">
      <span className="truncate">
        <strong>
          <UntrustedLine text={credential.display_name || subject} />
        </strong>
        {credential.display_name ? (
          <span className="muted small">
            {" "}
            <UntrustedLine text={subject} />
          </span>
        ) : null}
      </span>
      {credential.archived_at === null ? null : <Badge>Archived</Badge>}
    </span>
  );
}

function Where({ auth }: { auth: CredentialAuth }) {
  if (auth.type === "mcp_oauth") {
    if (auth.refresh) return <span className="muted">renewed by the server</span>;
    return auth.expires_at ? <ExpiresAt at={auth.expires_at} /> : <span className="muted">not renewed</span>;
  }
  if (auth.type === "static_bearer") return <span className="muted">the header of each request</span>;
  const { networking, injection_location: places } = auth;
  const hosts = networking.type === "unrestricted" ? "every host" : networking.allowed_hosts.join(", ") || "no host";
  const where = [places.header && "headers", places.body && "bodies"].filter(Boolean).join(" and ") || "nothing";
  return (
    <span>
      <UntrustedLine text={hosts} /> <span className="muted">in {where}</span>
    </span>
  );
}

function ExpiresAt({ at }: { at: string }) {
  const ended = Date.parse(at) < Date.now();
  const time = new Date(at).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  return <span className={ended ? "field-error" : "muted"}>{ended ? `ended ${time}` : `until ${time}`}</span>;
}

function CredentialMenu({ credential, onAsk }: { credential: Credential; onAsk(asked: Asked): void }) {
  const archived = credential.archived_at !== null;
  const ask = (what: "change" | "validate" | "archive" | "delete") => () => onAsk({ what, credential });
  return (
    <Menu
      label={`Actions of ${credential.display_name || subjectOf(credential.auth)}`}
      items={[
        { label: "Change", disabled: archived, onSelect: ask("change") },
        ...(credential.auth.type === "mcp_oauth"
          ? [{ label: "Validate", icon: "check" as const, disabled: archived, onSelect: ask("validate") }]
          : []),
        { label: "Archive", icon: "archive", disabled: archived, onSelect: ask("archive") },
        { label: "Delete", icon: "trash", tone: "bad", onSelect: ask("delete") },
      ]}
    />
  );
}

function CredentialDialog({ vault, asked, onClose }: { vault: Vault; asked: Asked; onClose(): void }) {
  if (asked === null) return null;
  if (asked.what === "new") return <NewCredentialDialog vaultId={vault.id} onClose={onClose} />;
  const { credential } = asked;
  const path = apiPath`/v1/vaults/${vault.id}/credentials/${credential.id}`;
  switch (asked.what) {
    case "change":
      return <ChangeCredentialDialog credential={credential} onClose={onClose} />;
    case "validate":
      return <ValidationDialog credential={credential} onClose={onClose} />;
    case "archive":
      return (
        <Confirm
          title="Archive this credential?"
          description="Its secrets are purged, also for sessions that run. The record stays. This cannot be undone."
          submitLabel="Archive credential"
          done="The credential was archived."
          run={(client) => client.post(`${path}/archive`)}
          onClose={onClose}
        />
      );
    case "delete":
      return (
        <Confirm
          title="Delete this credential?"
          description="The record and its secrets are removed for good, also for sessions that run."
          submitLabel="Delete credential"
          done="The credential was deleted."
          run={(client) => client.delete(path)}
          onClose={onClose}
        />
      );
  }
}
