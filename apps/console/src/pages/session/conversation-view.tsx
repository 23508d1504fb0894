import { type RefObject, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { foldConversation, isLogged, openCalls, worksUnseen } from "../../session-log/conversation.ts";
import type { LogState } from "../../session-log/session-log.ts";
import { useLogState } from "../../session-log/use-session-log.ts";
import { Button } from "../../ui/button.tsx";
import { EmptyState, ErrorState, LoadingState } from "../../ui/states.tsx";
import { VirtualList, type VirtualListHandle } from "../../ui/virtual-list.tsx";
import { AnswerCall } from "./answer-call.tsx";
import { Composer } from "./composer.tsx";
import { ConversationItem, type Line } from "./conversation-item.tsx";
import { useSessionView } from "./session-context.ts";

/** Pixels, until an item has been laid out. */
const ESTIMATES: Record<Line["kind"], number> = {
  user: 80,
  agent: 110,
  tool: 40,
  thinking: 28,
  error: 72,
  turn_end: 32,
  notice: 32,
  preview: 60,
  working: 28,
};

/** What was said and done, live; what must be answered; and where to write. */
export function ConversationView() {
  const { session, log, running, closed } = useSessionView();
  const state = useLogState(log);
  const lines = useLines(state, running);
  const calls = useMemo(() => openCalls(state.events, state.pending), [state.events, state.pending]);
  const open = useOpenItems();
  const [sends, setSends] = useState(0);
  if (state.loading === "first" && state.error) return <ErrorState error={state.error} onRetry={() => log.reload()} />;
  return (
    <div className="conversation">
      {state.loading === "first" ? (
        <div className="grow conversation-column">
          <LoadingState label="Loading the conversation" />
        </div>
      ) : lines.length === 0 ? (
        <div className="grow">
          <EmptyState icon="sessions" title="Nothing has been said yet">
            <p>Write the first message below. The agent starts when it arrives.</p>
          </EmptyState>
        </div>
      ) : (
        <Lines lines={lines} state={state} open={open} sends={sends} />
      )}
      {calls.length > 0 && !running ? (
        <section className="answers" aria-label="Waiting for your answer">
          {calls.map(({ use, kind }) => (
            <AnswerCall key={use.id} sessionId={session.id} call={{ id: use.id, name: use.name, input: use.input, kind }} />
          ))}
        </section>
      ) : null}
      {closed ? null : <Composer blocked={calls.length > 0 && !running} onSent={() => setSends((before) => before + 1)} />}
    </div>
  );
}

function useLines({ events, pending, previews, hasNewer }: LogState, running: boolean): readonly Line[] {
  const items = useMemo(() => foldConversation(events, pending), [events, pending]);
  return useMemo(() => {
    const live: Line[] = previews.map((preview) => ({ kind: "preview", id: preview.id, preview }));
    if (running && !hasNewer && worksUnseen(items, live.length)) live.push({ kind: "working", id: "working" });
    return live.length === 0 ? items : [...items.filter(isLogged), ...live, ...items.filter((item) => !isLogged(item))];
  }, [items, previews, hasNewer, running]);
}

/** Which items are unfolded: kept here, because items that are scrolled away are forgotten. */
function useOpenItems(): { isOpen(id: string): boolean; toggle(id: string): void } {
  const [ids, setIds] = useState<ReadonlySet<string>>(new Set());
  const toggle = useCallback((id: string) => {
    setIds((before) => {
      const after = new Set(before);
      if (!after.delete(id)) after.add(id);
      return after;
    });
  }, []);
  return { isOpen: (id) => ids.has(id), toggle };
}

/** Who has written wants to see it, wherever the list stands: also where items have grown and its end is out of view. */
function useShowWhatIsSent(sends: number, list: RefObject<VirtualListHandle | null>): void {
  useEffect(() => {
    if (sends > 0) list.current?.scrollToEnd();
  }, [sends, list]);
}

interface LinesProps {
  lines: readonly Line[];
  state: LogState;
  open: ReturnType<typeof useOpenItems>;
  /** Messages that were sent from here. */
  sends: number;
}

function Lines({ lines, state, open, sends }: LinesProps) {
  const { log } = useSessionView();
  const list = useRef<VirtualListHandle>(null);
  const [atEnd, setAtEnd] = useState(true);
  const { isOpen, toggle } = open;
  const onToggle = useCallback(
    (id: string) => {
      list.current?.holdPlace();
      toggle(id);
    },
    [toggle],
  );
  useShowWhatIsSent(sends, list);
  const toPresent = () => {
    if (state.hasNewer) log.reload();
    else list.current?.scrollToEnd();
  };
  return (
    <div className="virtual-frame">
      <VirtualList
        label="Conversation"
        items={lines}
        itemKey={(line) => line.id}
        estimate={(line) => ESTIMATES[line.kind]}
        anchor="end"
        handle={list}
        onNearStart={() => log.loadOlder()}
        onNearEnd={() => log.loadNewer()}
        onAtEnd={setAtEnd}
      >
        {(line) => (
          <div className="conversation-column">
            <ConversationItem line={line} open={isOpen(line.id)} onToggle={onToggle} />
          </div>
        )}
      </VirtualList>
      {state.loading === "older" ? (
        <div className="list-note list-note-top" role="status">
          Loading older events…
        </div>
      ) : null}
      {!atEnd || state.hasNewer ? (
        <div className="list-note list-note-bottom">
          <Button size="small" icon="arrowDown" onClick={toPresent}>
            Latest
          </Button>
        </div>
      ) : null}
    </div>
  );
}
