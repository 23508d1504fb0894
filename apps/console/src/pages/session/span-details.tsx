import type { TimelineSpan } from "@sandbox0/protocol";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Badge } from "../../ui/badge.tsx";
import { Button, IconButton } from "../../ui/button.tsx";
import { CopyId } from "../../ui/copy.tsx";
import { formatDuration, formatTime } from "../../ui/format.ts";
import { Facts } from "../../ui/page.tsx";

const TONES = { ok: "ok", error: "bad", running: "info" } as const;

export function SpanDetails({ span, onZoom, onClose }: { span: TimelineSpan; onZoom(): void; onClose(): void }) {
  return (
    <aside className="event-details" aria-label="Span details">
      <div className="row row-between">
        <strong>
          <UntrustedLine text={span.name} />
        </strong>
        <IconButton icon="close" label="Close details" size="small" onClick={onClose} />
      </div>
      <div className="row row-wrap">
        <Badge tone={TONES[span.status]}>{span.status}</Badge>
        <Badge>{span.kind.replaceAll("_", " ")}</Badge>
        <Button size="small" icon="zoomIn" onClick={onZoom}>
          Zoom to it
        </Button>
      </div>
      <Facts
        facts={[
          ["Began", formatTime(span.started_at)],
          ["Took", span.duration_ms === null ? "still runs" : formatDuration(span.duration_ms)],
          ["Event", span.event_id ? <CopyId key="event" id={span.event_id} label="event id" /> : null],
          ...Object.entries(span.attributes).map(
            ([name, value]) => [name, <UntrustedLine key={name} text={String(value)} />] as const,
          ),
        ]}
      />
    </aside>
  );
}
