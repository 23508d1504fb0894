import { Link } from "@tanstack/react-router";
import { formatCount, formatDuration, formatMoney, formatTime } from "../../ui/format.ts";
import { CodeBlock, JsonBlock } from "../../ui/code-block.tsx";
import { CopyId } from "../../ui/copy.tsx";
import { Facts, Section, Tiles } from "../../ui/page.tsx";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { useSessionView } from "./session-context.ts";

/** What the session has used, and how it is set up. */
export function UsageView() {
  const { session } = useSessionView();
  const { usage, stats, budget, agent } = session;
  const cost = formatMoney(usage.list_cost);
  return (
    <div className="view-scroll">
      <Section title="Usage">
        <Tiles
          tiles={[
            ["List cost", cost ?? "Not known"],
            ["Input tokens", formatCount(usage.input_tokens ?? 0)],
            ["Output tokens", formatCount(usage.output_tokens ?? 0)],
            ["Read from cache", formatCount(usage.cache_read_input_tokens ?? 0)],
            ["Written to cache", formatCount(cacheWrites(usage.cache_creation))],
            ["At work", formatDuration((stats.active_seconds ?? 0) * 1_000)],
          ]}
        />
        {cost === null ? <p className="muted small">The model has no list price in the server's models file.</p> : null}
        {budget ? <Budget spent={Number(usage.list_cost?.amount ?? 0)} limit={budget.max_list_cost} /> : null}
      </Section>
      <Section title="Setup">
        <Facts
          facts={[
            [
              "Agent",
              <span key="name">
                <Link to="/agents/$agentId" params={{ agentId: agent.id }}>
                  <UntrustedLine text={agent.name} />
                </Link>
                , version {agent.version}
              </span>,
            ],
            ["Agent id", <CopyId key="agent" id={agent.id} label="agent id" />],
            ["Model", agent.model.id],
            ["Environment", <CopyId key="env" id={session.environment_id} label="environment id" />],
            ["Vaults", session.vault_ids.length === 0 ? null : session.vault_ids.join(", ")],
            ["Created", formatTime(session.created_at)],
            ["Last change", formatTime(session.updated_at)],
            ["Archived", session.archived_at ? formatTime(session.archived_at) : null],
          ]}
        />
      </Section>
      {agent.system ? (
        <Section title="System prompt">
          <CodeBlock text={agent.system} label="System prompt" />
        </Section>
      ) : null}
      <Section title="Tools">
        <JsonBlock value={agent.tools} label="Tools" />
      </Section>
      {Object.keys(session.metadata).length > 0 ? (
        <Section title="Metadata">
          <JsonBlock value={session.metadata} label="Metadata" />
        </Section>
      ) : null}
    </div>
  );
}

function cacheWrites(
  creation: { ephemeral_5m_input_tokens?: number | undefined; ephemeral_1h_input_tokens?: number | undefined } | undefined,
): number {
  return (creation?.ephemeral_5m_input_tokens ?? 0) + (creation?.ephemeral_1h_input_tokens ?? 0);
}

function Budget({ spent, limit }: { spent: number; limit: { amount: string; currency: string } }) {
  return (
    <p className="row">
      <meter min={0} max={Number(limit.amount)} value={spent} aria-label="Budget used" />
      <span>
        of {formatMoney(limit)} budget, {Math.round((spent / Number(limit.amount)) * 100)} % used
      </span>
    </p>
  );
}
