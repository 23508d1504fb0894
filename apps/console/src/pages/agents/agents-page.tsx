import type { Agent } from "@sandbox0/protocol";
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
import { HARNESS_KEY } from "./agent-form.ts";

export function AgentsPage() {
  const [archived, setArchived] = useState(false);
  const list = useResourceList<Agent>("/v1/agents", { ...(archived && { include_archived: true }) });
  return (
    <Page
      title="Agents"
      description="A model with its instructions, tools and skills. Each change makes a new version; sessions keep theirs."
      actions={
        <Link to="/agents/new" className={buttonClass({ variant: "primary" })}>
          <Icon name="plus" size={14} /> New agent
        </Link>
      }
    >
      <div className="toolbar">
        <Checkbox label="Archived, too" checked={archived} onChange={(event) => setArchived(event.target.checked)} />
      </div>
      <ListTable
        caption="Agents"
        list={list}
        icon="agent"
        emptyTitle="No agents yet"
        empty={<p>An agent says which model works, how it is told to, and with which tools.</p>}
        rowKey={(agent) => agent.id}
        columns={[
          { title: "Name", cell: (agent) => <AgentLink agent={agent} /> },
          { title: "Model", cell: (agent) => <code>{agent.model.id}</code> },
          {
            title: "Harness",
            minor: true,
            cell: (agent) => agent.metadata[HARNESS_KEY] ?? <span className="muted">default</span>,
          },
          { title: "Version", minor: true, numeric: true, cell: (agent) => agent.version },
          { title: "Changed", cell: (agent) => <RelativeTime at={agent.updated_at} /> },
          { title: "Id", minor: true, cell: (agent) => <CopyId id={agent.id} label="agent id" /> },
        ]}
      />
    </Page>
  );
}

function AgentLink({ agent }: { agent: Agent }) {
  return (
    <span className="row">
      <Link to="/agents/$agentId" params={{ agentId: agent.id }} className="table-link truncate">
        <UntrustedLine text={agent.name} />
      </Link>
      {agent.archived_at === null ? null : <Badge>Archived</Badge>}
    </span>
  );
}
