import type { Agent } from "@sandbox0/protocol";
import { useState } from "react";
import { apiPath } from "../../api/api-path.ts";
import { DiffView } from "../../resources/diff-view.tsx";
import { Loaded, LoadMore } from "../../resources/loaded.tsx";
import { useResource, useResourceList } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Button } from "../../ui/button.tsx";
import { Select } from "../../ui/field.tsx";
import { Section } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { Table } from "../../ui/table.tsx";
import { changedParts, compareAgents } from "./agent-text.ts";

interface Compared {
  from: number;
  to: number;
}

/** All versions with what each one changed, and any two of them side by side. */
export function AgentVersions({ agent }: { agent: Agent }) {
  const list = useResourceList<Agent>(apiPath`/v1/agents/${agent.id}/versions`);
  const [chosen, setCompared] = useState<Compared | null>(null);
  // Until a person chooses: what the newest version changed, also when it is made while this is open.
  const compared = chosen ?? { from: Math.max(1, agent.version - 1), to: agent.version };
  return (
    <>
      {agent.version > 1 ? <Comparison agent={agent} compared={compared} onChange={setCompared} /> : null}
      <Section title="History">
        <Loaded reading={{ ...list, data: list.rows }} label="Loading versions">
          {(versions) => (
            <div className="stack">
              <VersionTable versions={versions} onCompare={setCompared} />
              <LoadMore list={list} />
            </div>
          )}
        </Loaded>
      </Section>
    </>
  );
}

function VersionTable({ versions, onCompare }: { versions: readonly Agent[]; onCompare(compared: Compared): void }) {
  const before = (version: number) => versions.find((each) => each.version === version - 1);
  return (
    <Table
      caption="Versions"
      rows={versions}
      rowKey={(version) => String(version.version)}
      columns={[
        { title: "Version", cell: ({ version }) => <strong>{version}</strong> },
        { title: "Changed", cell: (version) => <ChangedParts version={version} before={before(version.version)} /> },
        { title: "When", cell: (version) => <RelativeTime at={version.updated_at} /> },
        {
          title: "",
          cell: ({ version }) =>
            version === 1 ? null : (
              <Button
                size="small"
                aria-label={`Compare version ${version} with ${version - 1}`}
                onClick={() => onCompare({ from: version - 1, to: version })}
              >
                Compare
              </Button>
            ),
        },
      ]}
    />
  );
}

function ChangedParts({ version, before }: { version: Agent; before: Agent | undefined }) {
  if (version.version === 1) return <span className="muted">created</span>;
  if (before === undefined) return null;
  const parts = changedParts(before, version);
  return parts.length > 0 ? <UntrustedLine text={parts.join(", ")} /> : <span className="muted">nothing that is shown</span>;
}

interface ComparisonProps {
  agent: Agent;
  compared: Compared;
  onChange(compared: Compared): void;
}

function Comparison({ agent, compared, onChange }: ComparisonProps) {
  const options = Array.from({ length: agent.version }, (_, index) => agent.version - index).map((version) => ({
    value: String(version),
    label: version === agent.version ? `Version ${version} (now)` : `Version ${version}`,
  }));
  const path = apiPath`/v1/agents/${agent.id}`;
  const before = useResource<Agent>(path, { query: { version: compared.from } });
  const after = useResource<Agent>(path, { query: { version: compared.to } });
  return (
    <Section title="Compare">
      <div className="toolbar">
        <Select
          label="From"
          hideLabel
          auto
          options={options}
          value={String(compared.from)}
          onChange={(event) => onChange({ ...compared, from: Number(event.target.value) })}
        />
        <span className="muted">to</span>
        <Select
          label="To"
          hideLabel
          auto
          options={options}
          value={String(compared.to)}
          onChange={(event) => onChange({ ...compared, to: Number(event.target.value) })}
        />
      </div>
      <Loaded reading={before}>
        {(old) => <Loaded reading={after}>{(next) => <AgentDiff before={old} after={next} />}</Loaded>}
      </Loaded>
    </Section>
  );
}

function AgentDiff({ before, after }: { before: Agent; after: Agent }) {
  const parts = compareAgents(before, after);
  const changed = parts.filter((part) => part.before !== part.after);
  const same = parts.filter((part) => part.before === part.after && part.after !== "");
  return (
    <div className="stack">
      {changed.length === 0 ? <p>These two versions are the same.</p> : null}
      {changed.map((part) => (
        <div key={part.name} className="stack stack-sm">
          <h3>
            <UntrustedLine text={part.name} />
          </h3>
          <DiffView label={`Changes of ${part.name}`} before={part.before} after={part.after} />
        </div>
      ))}
      {changed.length > 0 && same.length > 0 ? (
        <p className="muted small">
          Unchanged: <UntrustedLine text={same.map(({ name }) => name).join(", ")} />
        </p>
      ) : null}
    </div>
  );
}
