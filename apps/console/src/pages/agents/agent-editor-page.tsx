import type { Agent, AgentCreateParams, AgentUpdateParams } from "@sandbox0/protocol";
import { Link, useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";
import { apiPath } from "../../api/api-path.ts";
import { Loaded } from "../../resources/loaded.tsx";
import { ONCE, useChange, useFreshResource } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Page } from "../../ui/page.tsx";
import { useToast } from "../../ui/toast.tsx";
import { AgentFields } from "./agent-fields.tsx";
import { agentCreateParams, agentForm, agentUpdateParams, emptyAgentForm } from "./agent-form.ts";

export function NewAgentPage() {
  const create = useChange((client, params: AgentCreateParams) => client.post<Agent>("/v1/agents", { body: params, ...ONCE }));
  const navigate = useNavigate();
  return (
    <Page title="New agent" width="narrow" crumbs={<Link to="/agents">Agents</Link>}>
      <AgentFields
        start={emptyAgentForm()}
        submitLabel="Create agent"
        cancel={{ to: "/agents" }}
        busy={create.isPending}
        error={create.error}
        onSubmit={(form) =>
          create.mutate(agentCreateParams(form), {
            onSuccess: (agent) => void navigate({ to: "/agents/$agentId", params: { agentId: agent.id } }),
          })
        }
      />
    </Page>
  );
}

export function EditAgentPage() {
  const { agentId } = useParams({ from: "/agents/$agentId/edit" });
  const agent = useFreshResource<Agent>(apiPath`/v1/agents/${agentId}`);
  return (
    <Page
      title="Edit agent"
      width="narrow"
      crumbs={
        <>
          <Link to="/agents">Agents</Link>
          <span aria-hidden="true">/</span>
          <Link to="/agents/$agentId" params={{ agentId }}>
            <UntrustedLine text={agent.data?.name ?? agentId} />
          </Link>
        </>
      }
    >
      <Loaded reading={agent} label="Loading the agent">
        {(data) => <EditAgent agent={data} />}
      </Loaded>
    </Page>
  );
}

/** What is saved is a change of what the form began with: who changed the agent meanwhile is not overwritten. */
function EditAgent({ agent: now }: { agent: Agent }) {
  const [agent] = useState(now);
  const path = apiPath`/v1/agents/${agent.id}`;
  const update = useChange((client, params: AgentUpdateParams) => client.post<Agent>(path, { body: params }));
  const navigate = useNavigate();
  const toast = useToast();
  return (
    <AgentFields
      start={agentForm(agent)}
      submitLabel="Save as a new version"
      cancel={{ to: "/agents/$agentId", params: { agentId: agent.id } }}
      busy={update.isPending}
      error={update.error}
      onSubmit={(form) =>
        update.mutate(agentUpdateParams(form, agent), {
          onSuccess: (saved) => {
            toast(saved.version === agent.version ? "Nothing was changed." : `Saved as version ${saved.version}.`);
            void navigate({ to: "/agents/$agentId", params: { agentId: agent.id } });
          },
        })
      }
    />
  );
}
