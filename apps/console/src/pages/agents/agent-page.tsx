import type { Agent } from "@sandbox0/protocol";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { apiPath } from "../../api/api-path.ts";
import { Confirm } from "../../resources/confirm.tsx";
import { Loaded } from "../../resources/loaded.tsx";
import { useResource } from "../../resources/use-resources.ts";
import { Untrusted, UntrustedLine } from "../../text/untrusted.tsx";
import { Badge } from "../../ui/badge.tsx";
import { buttonClass } from "../../ui/button.tsx";
import { CodeBlock } from "../../ui/code-block.tsx";
import { CopyId } from "../../ui/copy.tsx";
import { Menu } from "../../ui/menu.tsx";
import { Facts, PageHeader, Section } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { Callout } from "../../ui/states.tsx";
import { Tabs } from "../../ui/tabs.tsx";
import { HARNESS_KEY } from "./agent-form.ts";
import { agentParts, modelText } from "./agent-text.ts";
import { AgentVersions } from "./agent-versions.tsx";

export function AgentPage() {
  const { agentId } = useParams({ from: "/agents/$agentId" });
  const agent = useResource<Agent>(apiPath`/v1/agents/${agentId}`);
  return (
    <div className="page">
      <div className="page-inner">
        <Loaded reading={agent} label="Loading the agent">
          {(data) => (
            <>
              <PageHeader
                title={data.name}
                crumbs={<Link to="/agents">Agents</Link>}
                badge={data.archived_at === null ? <Badge>Version {data.version}</Badge> : <Badge tone="warn">Archived</Badge>}
                actions={<AgentActions agent={data} />}
              />
              <Tabs
                label="Views of the agent"
                tabs={[
                  { id: "now", label: "As it is", content: <AgentDetails agent={data} /> },
                  { id: "versions", label: "Versions", content: <AgentVersions agent={data} /> },
                ]}
              />
            </>
          )}
        </Loaded>
      </div>
    </div>
  );
}

function AgentActions({ agent }: { agent: Agent }) {
  const [archiving, setArchiving] = useState(false);
  const navigate = useNavigate();
  if (agent.archived_at !== null) return null;
  return (
    <>
      <Link to="/sessions" search={{ agent: agent.id }} className={buttonClass({})}>
        Its sessions
      </Link>
      <Link to="/agents/$agentId/edit" params={{ agentId: agent.id }} className={buttonClass({ variant: "primary" })}>
        Edit
      </Link>
      <Menu label="More actions" items={[{ label: "Archive", icon: "archive", onSelect: () => setArchiving(true) }]} />
      {archiving ? (
        <Confirm
          title="Archive this agent?"
          description="It can start no more sessions and cannot be changed. Sessions that have it go on. This cannot be undone."
          submitLabel="Archive agent"
          done="The agent was archived."
          run={(client) => client.post(apiPath`/v1/agents/${agent.id}/archive`)}
          leave={() => void navigate({ to: "/agents" })}
          onClose={() => setArchiving(false)}
        />
      ) : null}
    </>
  );
}

/** Those that are facts above. */
const FACTS: readonly string[] = ["Name", "Description", "Model", "Execution identity"];

function AgentDetails({ agent }: { agent: Agent }) {
  const blocks = agentParts(agent).filter(({ name, text }) => !FACTS.includes(name) && text !== "");
  return (
    <>
      {agent.archived_at === null ? null : (
        <Callout tone="info" icon="archive">
          Archived <RelativeTime at={agent.archived_at} />. It stays readable.
        </Callout>
      )}
      <div className="section">
        <Facts
          facts={[
            ["Model", <code key="model">{modelText(agent.model)}</code>],
            [
              "Harness",
              agent.metadata[HARNESS_KEY] ? (
                <UntrustedLine key="harness" text={agent.metadata[HARNESS_KEY]} />
              ) : (
                "the server's default"
              ),
            ],
            ["Description", agent.description ? <Untrusted key="description" text={agent.description} /> : null],
            ["Created", <RelativeTime key="created" at={agent.created_at} />],
            ["Changed", <RelativeTime key="changed" at={agent.updated_at} />],
            ["Id", <CopyId key="id" id={agent.id} label="agent id" />],
          ]}
        />
      </div>
      {blocks.map(({ name, text }) => (
        <Section key={name} title={name}>
          <CodeBlock text={text} label={name} fileName={`${name.toLowerCase().replaceAll(" ", "-")}.txt`} />
        </Section>
      ))}
    </>
  );
}
