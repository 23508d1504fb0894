import type { Environment, EnvironmentConfig } from "@sandbox0/protocol";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { ListTable } from "../../resources/loaded.tsx";
import { useResourceList } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Badge } from "../../ui/badge.tsx";
import { buttonClass } from "../../ui/button.tsx";
import { CopyId } from "../../ui/copy.tsx";
import { Checkbox } from "../../ui/field.tsx";
import { Icon } from "../../ui/icon.tsx";
import { Page } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { MANAGERS } from "./environment-form.ts";

export function EnvironmentsPage() {
  const [archived, setArchived] = useState(false);
  const list = useResourceList<Environment>("/v1/environments", { ...(archived && { include_archived: true }) });
  return (
    <Page
      title="Environments"
      description="What a session's sandboxes have, and where they may go on the network."
      actions={
        <Link to="/environments/new" className={buttonClass({ variant: "primary" })}>
          <Icon name="plus" size={14} /> New environment
        </Link>
      }
    >
      <div className="toolbar">
        <Checkbox label="Archived, too" checked={archived} onChange={(event) => setArchived(event.target.checked)} />
      </div>
      <ListTable
        caption="Environments"
        list={list}
        icon="environment"
        emptyTitle="No environments yet"
        empty={<p>A session needs one: it says which hosts may be reached, and which packages are there.</p>}
        rowKey={(environment) => environment.id}
        columns={[
          { title: "Name", cell: (environment) => <EnvironmentLink environment={environment} /> },
          { title: "Network", cell: ({ config }) => <NetworkBadge config={config} /> },
          { title: "Packages", minor: true, numeric: true, cell: ({ config }) => packageCount(config) || "" },
          { title: "Changed", minor: true, cell: (environment) => <RelativeTime at={environment.updated_at} /> },
          { title: "Id", minor: true, cell: (environment) => <CopyId id={environment.id} label="environment id" /> },
        ]}
      />
    </Page>
  );
}

function EnvironmentLink({ environment }: { environment: Environment }) {
  return (
    <span className="row">
      <Link to="/environments/$environmentId" params={{ environmentId: environment.id }} className="table-link truncate">
        <UntrustedLine text={environment.name} />
      </Link>
      {environment.archived_at === null ? null : <Badge>Archived</Badge>}
    </span>
  );
}

function packageCount(config: EnvironmentConfig): number {
  return config.type === "cloud" ? MANAGERS.reduce((sum, manager) => sum + config.packages[manager].length, 0) : 0;
}

function NetworkBadge({ config }: { config: EnvironmentConfig }) {
  if (config.type === "self_hosted") return <Badge>Self-hosted</Badge>;
  const { networking } = config;
  if (networking.type === "unrestricted") return <Badge tone="warn">Unrestricted</Badge>;
  const hosts = networking.allowed_hosts.length;
  return <Badge tone="ok">{hosts === 0 ? "No host" : hosts === 1 ? "1 host" : `${hosts} hosts`}</Badge>;
}
