import type { ToolItem, ToolResult } from "../../session-log/conversation.ts";
import { plainLine } from "../../text/untrusted-text.ts";
import { Untrusted, UntrustedLine } from "../../text/untrusted.tsx";
import { Badge, type Tone } from "../../ui/badge.tsx";
import { formatDuration } from "../../ui/format.ts";
import { Icon } from "../../ui/icon.tsx";
import { Content } from "./content.tsx";
import { summarizeInput, ToolInput } from "./tool-input.tsx";

interface ToolLineProps {
  item: ToolItem;
  open: boolean;
  onToggle(): void;
}

/** A call on one line; unfolded with what went in and what came out. */
export function ToolLine({ item, open, onToggle }: ToolLineProps) {
  const { use, result } = item;
  const state = stateOf(item);
  const name = use.type === "agent.mcp_tool_use" ? `${use.mcp_server_name} · ${use.name}` : use.name;
  return (
    <article className="tool" aria-label={`Tool call ${plainLine(name)}`}>
      <button type="button" className="tool-head" aria-expanded={open} onClick={onToggle}>
        <span className="tool-chevron" data-open={open}>
          <Icon name="chevron" size={12} />
        </span>
        <Icon name={use.type === "agent.custom_tool_use" ? "person" : "tool"} size={14} />
        <span className="tool-name">
          <UntrustedLine text={name} />
        </span>
        <span className="tool-summary truncate">
          <UntrustedLine text={summarizeInput(use.name, use.input)} />
        </span>
        <span className="tool-end">
          {result ? <span className="muted tabular">{tookOf(item, result)}</span> : null}
          <Badge tone={state.tone} live={state.live} dot={state.live}>
            {state.text}
          </Badge>
        </span>
      </button>
      {open ? <ToolDetails item={item} /> : null}
    </article>
  );
}

function ToolDetails({ item: { use, confirmation, result } }: { item: ToolItem }) {
  return (
    <div className="tool-body stack">
      <div>
        <p className="tool-label">Input</p>
        <ToolInput name={use.name} input={use.input} />
      </div>
      {confirmation?.deny_message ? (
        <div>
          <p className="tool-label">Reason of the denial</p>
          <Untrusted text={confirmation.deny_message} />
        </div>
      ) : null}
      {result ? (
        <div>
          <p className="tool-label">{result.is_error ? "Error" : "Output"}</p>
          {result.content && result.content.length > 0 ? (
            <Content blocks={result.content} mono />
          ) : (
            <em className="muted">Nothing</em>
          )}
        </div>
      ) : null}
    </div>
  );
}

function stateOf({ use, confirmation, result }: ToolItem): { text: string; tone: Tone; live: boolean } {
  const denied = confirmation?.result === "deny" || (use.type !== "agent.custom_tool_use" && use.evaluated_permission === "deny");
  if (denied) return { text: "Denied", tone: "bad", live: false };
  if (result) return result.is_error ? { text: "Failed", tone: "bad", live: false } : { text: "Done", tone: "ok", live: false };
  const asks = use.type === "agent.custom_tool_use" || (use.evaluated_permission === "ask" && confirmation === null);
  return asks ? { text: "Waits", tone: "warn", live: false } : { text: "Running", tone: "info", live: true };
}

function tookOf({ use, confirmation }: ToolItem, result: ToolResult): string {
  const from = Date.parse(confirmation?.processed_at ?? use.processed_at);
  const ms = Date.parse(result.processed_at ?? "") - from;
  return Number.isNaN(ms) ? "" : formatDuration(ms);
}
