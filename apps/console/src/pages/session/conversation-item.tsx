import type { SessionEvent, StopReason } from "@sandbox0/protocol";
import { memo, type ReactNode } from "react";
import type { Item } from "../../session-log/conversation.ts";
import type { Preview } from "../../session-log/session-log.ts";
import { Markdown } from "../../text/markdown.tsx";
import { Untrusted } from "../../text/untrusted.tsx";
import { formatClock, formatDuration, formatTime } from "../../ui/format.ts";
import { Icon } from "../../ui/icon.tsx";
import { Content } from "./content.tsx";
import { ToolLine } from "./tool-line.tsx";

/** Longer ones are shown as plain text until they are complete: parsing them again with each word would be slow. */
const LIVE_MARKDOWN_CHARS_MAX = 6_000;

export type Line =
  | Item
  | { kind: "preview"; id: string; preview: Preview }
  /** The agent is at work, and there is nothing to show of it yet. */
  | { kind: "working"; id: string };

interface LineProps {
  line: Line;
  open: boolean;
  /** The same function always, so that what has not changed is not rendered again. */
  onToggle(id: string): void;
}

export const ConversationItem = memo(function ConversationItem({ line, open, onToggle }: LineProps) {
  switch (line.kind) {
    case "user":
      return (
        <Message who="You" at={line.event.processed_at ?? null} note={line.queued ? "Queued" : null} mine>
          <Content blocks={line.event.content} />
        </Message>
      );
    case "agent":
      return (
        <Message who="Agent" at={line.event.processed_at} note={null}>
          {line.event.content.map((block, index) =>
            block.type === "text" ? (
              // biome-ignore lint/suspicious/noArrayIndexKey: the blocks of a stored event never change
              <Markdown key={index} text={block.text} />
            ) : (
              // biome-ignore lint/suspicious/noArrayIndexKey: the blocks of a stored event never change
              <em key={index}>Withheld by policy</em>
            ),
          )}
        </Message>
      );
    case "preview":
      return <PreviewLine preview={line.preview} />;
    case "tool":
      return <ToolLine item={line} open={open} onToggle={() => onToggle(line.id)} />;
    case "working":
      return <div className="line-note line-live">Working…</div>;
    case "thinking":
      return <div className="line-note">Thought about it</div>;
    case "error":
      return (
        <div className="callout" data-tone="bad">
          <span className="callout-icon">
            <Icon name="warn" />
          </span>
          <div>
            <strong>{wordsOf(line.event.error.type)}</strong>
            <Untrusted text={line.event.error.message} />
            <div className="small muted">{RETRY_WORDS[line.event.error.retry_status.type]}</div>
          </div>
        </div>
      );
    case "turn_end":
      return <TurnEnd at={line.at} reason={line.reason} durationMs={line.durationMs} />;
    case "notice":
      return <Notice event={line.event} />;
  }
});

const RETRY_WORDS = {
  retrying: "It is being tried again.",
  exhausted: "No further attempts: the session waits for you.",
  terminal: "The session has ended.",
};

interface MessageProps {
  who: string;
  at: string | null;
  note: string | null;
  mine?: boolean;
  children: ReactNode;
}

function Message({ who, at, note, mine = false, children }: MessageProps) {
  return (
    <article className="message" data-mine={mine} aria-label={`${who}${note ? `, ${note.toLowerCase()}` : ""}`}>
      <header className="message-head">
        <span className="message-who">{who}</span>
        {note ? <span className="muted">{note}</span> : null}
        {at ? (
          <time dateTime={at} title={formatTime(at)} className="muted tabular message-time">
            {formatClock(at)}
          </time>
        ) : null}
      </header>
      <div className="message-body">{children}</div>
    </article>
  );
}

function PreviewLine({ preview }: { preview: Preview }) {
  if (preview.type === "agent.thinking") return <div className="line-note line-live">Thinking…</div>;
  return (
    <Message who="Agent" at={null} note="writing…">
      {preview.text.length > LIVE_MARKDOWN_CHARS_MAX ? <Untrusted text={preview.text} /> : <Markdown text={preview.text} />}
    </Message>
  );
}

const STOP_WORDS: Record<StopReason["type"], string> = {
  end_turn: "Done",
  requires_action: "Waits for an answer",
  retries_exhausted: "Gave up after several attempts",
  budget_reached: "The budget is used up",
  refusal: "The model refused",
};

function TurnEnd({ at, reason, durationMs }: { at: string; reason: StopReason; durationMs: number | null }) {
  return (
    <div className="turn-end" data-reason={reason.type}>
      <span>{STOP_WORDS[reason.type] ?? reason.type}</span>
      {durationMs !== null ? <span>{formatDuration(durationMs)}</span> : null}
      <time dateTime={at} title={formatTime(at)}>
        {formatClock(at)}
      </time>
    </div>
  );
}

/** `tool_use_limit_reached_error` as words. */
function wordsOf(name: string): string {
  const words = name.replace(/_error$/, "").replace(/[._]/g, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

const NOTICES: Partial<Record<SessionEvent["type"], string>> = {
  "user.interrupt": "You interrupted the agent",
  "session.status_rescheduled": "Something failed for now: the session tries again",
  "session.status_terminated": "The session has ended",
  "session.updated": "The session's settings were changed",
  "agent.thread_context_compacted": "Earlier messages were summarised",
};

function Notice({ event }: { event: SessionEvent }) {
  const text = NOTICES[event.type] ?? wordsOf(event.type);
  return (
    <div className="line-note">
      {text}
      {event.type === "system.message" ? <Content blocks={event.content} /> : null}
      {event.type === "user.define_outcome" ? <Untrusted text={event.description} /> : null}
      {event.type === "span.outcome_evaluation_end" ? <Untrusted text={`${event.result}: ${event.explanation}`} /> : null}
    </div>
  );
}
