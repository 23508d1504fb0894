import type { EventFilterType, SessionEvent } from "@sandbox0/protocol";
import { useState } from "react";
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
  return (
    <div className="events">
      <div className="events-bar">
        <Select
          label="Events shown"
          hideLabel
          auto
          options={[...OPTIONS]}
          value={filter}
          onChange={(event) => setFilter(event.target.value)}
        />
      </div>
      {filter === "" ? <AllEvents /> : <FilteredEvents key={filter} types={filter.split(",") as EventFilterType[]} />}
    </div>
  );
}

function AllEvents() {
  const { log } = useSessionView();
  return <EventList log={log} />;
}

function FilteredEvents({ types }: { types: readonly EventFilterType[] }) {
  const { session } = useSessionView();
  return <EventList log={useSessionLog(session.id, types)} />;
}

function EventList({ log }: { log: SessionLog }) {
  const state = useLogState(log);
  const [chosen, setChosen] = useState<SessionEvent | null>(null);
  if (state.loading === "first") {
    return state.error ? (
      <ErrorState error={state.error} onRetry={() => log.reload()} />
    ) : (
      <LoadingState label="Loading events" />
    );
  }
  const events = state.pending.length === 0 ? state.events : [...state.events, ...state.pending];
  if (events.length === 0) return <EmptyState icon="sessions" title="There are no such events" />;
  return (
    <>
      <EventCount state={state} shown={events.length} onLatest={() => log.reload()} />
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
          {(event) => <EventRow event={event} chosen={event.id === chosen?.id} onChoose={() => setChosen(event)} />}
        </VirtualList>
        {chosen ? <EventDetails event={chosen} onClose={() => setChosen(null)} /> : null}
      </div>
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

function EventRow({ event, chosen, onChoose }: { event: SessionEvent; chosen: boolean; onChoose(): void }) {
  const at = event.processed_at ?? null;
  return (
    <button type="button" className="event-row" aria-pressed={chosen} onClick={onChoose}>
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
}

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
