import type { EventFilterType, SessionEvent } from "@sandbox0/protocol";
import { memo, type ReactNode, useState } from "react";
import type { LogState, SessionLog } from "../../session-log/session-log.ts";
import { useLogState, useSessionLog } from "../../session-log/use-session-log.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Button, IconButton } from "../../ui/button.tsx";
import { JsonBlock } from "../../ui/code-block.tsx";
import { CopyId } from "../../ui/copy.tsx";
import { Select } from "../../ui/field.tsx";
import { formatClock, formatCount, formatTime } from "../../ui/format.ts";
import { EmptyState, ErrorState, LoadingState } from "../../ui/states.tsx";
import { VirtualList } from "../../ui/virtual-list.tsx";
import { EVENT_GROUPS, toneOf } from "./event-types.ts";
import { describeEvent } from "./describe-event.ts";
import { useSessionView } from "./session-context.ts";

const ROW_PX = 32;
const OPTIONS = [
  { value: "", label: "All events" },
  ...EVENT_GROUPS.map(({ label, types }) => ({ value: types.join(","), label })),
];

/** The log as it is: every event, one line each, its JSON beside it. */
export function EventsView() {
  const [filter, setFilter] = useState("");
  const choice = (
    <Select
      label="Events shown"
      hideLabel
      auto
      options={OPTIONS}
      value={filter}
      onChange={(event) => setFilter(event.target.value)}
    />
  );
  return (
    <div className="events">
      {filter === "" ? (
        <AllEvents choice={choice} />
      ) : (
        <FilteredEvents key={filter} choice={choice} types={filter.split(",") as EventFilterType[]} />
      )}
    </div>
  );
}

interface ListProps {
  /** What is shown, and the way to change it. */
  choice: ReactNode;
}

function AllEvents({ choice }: ListProps) {
  const { log } = useSessionView();
  return <EventList log={log} choice={choice} />;
}

function FilteredEvents({ choice, types }: ListProps & { types: readonly EventFilterType[] }) {
  const { session } = useSessionView();
  return <EventList log={useSessionLog(session.id, types)} choice={choice} />;
}

function EventList({ log, choice }: ListProps & { log: SessionLog }) {
  const state = useLogState(log);
  const [chosen, setChosen] = useState<SessionEvent | null>(null);
  const events = state.pending.length === 0 ? state.events : [...state.events, ...state.pending];
  return (
    <>
      <div className="events-bar row">
        {choice}
        {state.loading === "first" ? null : <EventCount state={state} shown={events.length} onLatest={() => log.reload()} />}
      </div>
      {state.loading === "first" && state.error ? <ErrorState error={state.error} onRetry={() => log.reload()} /> : null}
      {state.loading === "first" && !state.error ? <LoadingState label="Loading events" /> : null}
      {state.loading !== "first" && events.length === 0 ? <EmptyState icon="sessions" title="There are no such events" /> : null}
      {events.length > 0 ? (
        <div className="events-split">
          <VirtualList
            label="Events"
            items={events}
            itemKey={(event) => event.id}
            estimate={() => ROW_PX}
            anchor="end"
            onNearStart={() => log.loadOlder()}
            onNearEnd={() => log.loadNewer()}
          >
            {(event) => <EventRow event={event} chosen={event.id === chosen?.id} onChoose={setChosen} />}
          </VirtualList>
          {chosen ? <EventDetails event={chosen} onClose={() => setChosen(null)} /> : null}
        </div>
      ) : null}
    </>
  );
}

function EventCount({ state, shown, onLatest }: { state: LogState; shown: number; onLatest(): void }) {
  return (
    <div className="events-count small muted row" role="status">
      {state.loading === "older"
        ? "Loading older events…"
        : `${formatCount(shown)} loaded${state.hasOlder ? ", older ones on scrolling up" : ""}`}
      {state.hasNewer ? (
        <Button size="small" icon="arrowDown" onClick={onLatest}>
          Latest
        </Button>
      ) : null}
    </div>
  );
}

interface EventRowProps {
  event: SessionEvent;
  chosen: boolean;
  onChoose(event: SessionEvent): void;
}

const EventRow = memo(function EventRow({ event, chosen, onChoose }: EventRowProps) {
  const at = event.processed_at ?? null;
  return (
    <button type="button" className="event-row" aria-pressed={chosen} onClick={() => onChoose(event)}>
      <span className="muted tabular event-time" title={at ? formatTime(at) : undefined}>
        {at ? formatClock(at) : "queued"}
      </span>
      <span className="event-type" data-tone={toneOf(event.type)}>
        {event.type}
      </span>
      <span className="event-summary truncate muted">
        <UntrustedLine text={describeEvent(event)} />
      </span>
    </button>
  );
});

function EventDetails({ event, onClose }: { event: SessionEvent; onClose(): void }) {
  return (
    <aside className="event-details" aria-label="Event details">
      <div className="row row-between">
        <strong className="mono">{event.type}</strong>
        <IconButton icon="close" label="Close details" size="small" onClick={onClose} />
      </div>
      <CopyId id={event.id} label="event id" />
      <JsonBlock value={event} label="Event as JSON" />
    </aside>
  );
}
