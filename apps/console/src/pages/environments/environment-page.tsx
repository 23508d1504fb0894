import type { Environment, Networking, Packages } from "@sandbox0/protocol";
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
import { BuildState } from "./build-state.tsx";
import { IMAGE_KEY, MANAGERS, SETUP_KEY } from "./environment-form.ts";

export function EnvironmentPage() {
  const { environmentId } = useParams({ from: "/environments/$environmentId" });
  const environment = useResource<Environment>(apiPath`/v1/environments/${environmentId}`);
  return (
    <div className="page">
      <div className="page-inner">
        <Loaded reading={environment} label="Loading the environment">
          {(data) => <EnvironmentDetails environment={data} />}
        </Loaded>
      </div>
    </div>
  );
}

function EnvironmentDetails({ environment }: { environment: Environment }) {
  const { config, metadata } = environment;
  const setup = metadata[SETUP_KEY];
  const others = Object.entries(metadata).filter(([key]) => key !== SETUP_KEY && key !== IMAGE_KEY);
  return (
    <>
      <PageHeader
        title={environment.name}
        crumbs={<Link to="/environments">Environments</Link>}
        badge={environment.archived_at === null ? null : <Badge tone="warn">Archived</Badge>}
        actions={<EnvironmentActions environment={environment} />}
      />
      <Facts
        facts={[
          ["Description", environment.description ? <Untrusted key="description" text={environment.description} /> : null],
          ["Image", metadata[IMAGE_KEY] ? <UntrustedLine key="image" text={metadata[IMAGE_KEY]} /> : null],
          ["Created", <RelativeTime key="created" at={environment.created_at} />],
          ["Changed", <RelativeTime key="changed" at={environment.updated_at} />],
          ["Id", <CopyId key="id" id={environment.id} label="environment id" />],
        ]}
      />
      {config.type === "cloud" ? (
        <>
          <Section title="Network">
            <NetworkPolicy networking={config.networking} />
          </Section>
          <BuildState environmentId={environment.id} />
          <PackageLists packages={config.packages} />
        </>
      ) : (
        <Section title="Sandboxes">
          <p>Workers of your own run the sandboxes of this environment.</p>
        </Section>
      )}
      {setup ? (
        <Section title="Setup">
          <CodeBlock text={setup} label="Setup" fileName="setup.sh" />
        </Section>
      ) : null}
      {others.length > 0 ? (
        <Section title="Metadata">
          <Facts facts={others.map(([key, value]) => [key, <UntrustedLine key={key} text={value} />])} />
        </Section>
      ) : null}
    </>
  );
}

function NetworkPolicy({ networking }: { networking: Networking }) {
  if (networking.type === "unrestricted") {
    return (
      <p>
        <Badge tone="warn">Unrestricted</Badge> Sandboxes may reach every public host.
      </p>
    );
  }
  const { allowed_hosts: hosts, allow_mcp_servers: mcp, allow_package_managers: managers } = networking;
  return (
    <Facts
      facts={[
        [
          "Policy",
          <Badge key="policy" tone="ok">
            {hosts.length === 0 ? "No host of their own" : "Named hosts only"}
          </Badge>,
        ],
        ["Hosts", hosts.length > 0 ? <HostList key="hosts" hosts={hosts} /> : null],
        ["MCP servers", mcp ? "the agent's servers may be reached, too" : "not from the sandbox"],
        ["Registries", managers ? "those of packages may be reached, too" : "not reachable"],
      ]}
    />
  );
}

function HostList({ hosts }: { hosts: readonly string[] }) {
  return (
    <ul className="row row-wrap">
      {hosts.map((host) => (
        <li key={host}>
          <code className="chip">{host}</code>
        </li>
      ))}
    </ul>
  );
}

function PackageLists({ packages }: { packages: Packages }) {
  const used = MANAGERS.filter((manager) => packages[manager].length > 0);
  if (used.length === 0) return null;
  return (
    <Section title="Packages">
      <Facts facts={used.map((manager) => [manager, <HostList key={manager} hosts={packages[manager]} />])} />
    </Section>
  );
}

type Asked = "archive" | "delete" | null;

function EnvironmentActions({ environment }: { environment: Environment }) {
  const [asked, setAsked] = useState<Asked>(null);
  const navigate = useNavigate();
  const path = apiPath`/v1/environments/${environment.id}`;
  const archived = environment.archived_at !== null;
  const common = {
    leave: () => void navigate({ to: "/environments" }),
    onClose: () => setAsked(null),
  };
  return (
    <>
      {archived ? null : (
        <Link
          to="/environments/$environmentId/edit"
          params={{ environmentId: environment.id }}
          className={buttonClass({ variant: "primary" })}
        >
          Edit
        </Link>
      )}
      <Menu
        label="More actions"
        items={[
          { label: "Archive", icon: "archive", disabled: archived, onSelect: () => setAsked("archive") },
          { label: "Delete", icon: "trash", tone: "bad", onSelect: () => setAsked("delete") },
        ]}
      />
      {asked === "archive" ? (
        <Confirm
          title="Archive this environment?"
          description="No new session can use it. Sessions that have it go on. This cannot be undone."
          submitLabel="Archive environment"
          done="The environment was archived."
          run={(client) => client.post(`${path}/archive`)}
          {...common}
        />
      ) : null}
      {asked === "delete" ? (
        <Confirm
          title="Delete this environment?"
          description="It is removed for good. One that sessions use cannot be deleted."
          submitLabel="Delete environment"
          done="The environment was deleted."
          run={(client) => client.delete(path)}
          {...common}
        />
      ) : null}
    </>
  );
}
