import type { PreviewType } from "@sandbox0/protocol";
import type { LivePreview } from "../log/bells.ts";

/** Ids of finished events a connection remembers, to refuse a preview that comes late. */
const FINISHED_MAX = 64;

interface OpenPreview {
  /** Characters sent so far, for each index. */
  sent: number[];
  /** A piece was lost: no more deltas, so that what was sent stays a prefix. */
  broken: boolean;
}

/**
 * What one connection may see of previews (semantics §5.8): only types it asked for; one start an event; deltas only
 * after their start, so a connection that came in the middle gets none; together always a prefix of the final text;
 * nothing after the event itself, or after the end of the model request that would have made it.
 */
export class PreviewGate {
  private readonly types: ReadonlySet<PreviewType>;
  private readonly open = new Map<string, OpenPreview>();
  private readonly finished = new Set<string>();

  constructor(types: ReadonlySet<PreviewType>) {
    this.types = types;
  }

  /** True when the preview is to be sent now. */
  admits(preview: LivePreview): boolean {
    return preview.type === "start" ? this.start(preview.eventId, preview.eventType) : this.text(preview);
  }

  /** A durable event goes out: what it finishes gets no more previews. */
  passed(event: { id: string; type: string }): void {
    if (event.type === "agent.message" || event.type === "agent.thinking") this.finish(event.id);
    if (event.type === "span.model_request_end") for (const id of this.open.keys()) this.finish(id);
  }

  private start(eventId: string, type: PreviewType): boolean {
    if (!this.types.has(type) || this.open.has(eventId) || this.finished.has(eventId)) return false;
    this.open.set(eventId, { sent: [], broken: false });
    return true;
  }

  private text(preview: Extract<LivePreview, { type: "text" }>): boolean {
    const known = this.open.get(preview.eventId);
    if (known === undefined || known.broken) return false;
    const { sent } = known;
    if (preview.index > sent.length || preview.offset !== (sent[preview.index] ?? 0)) {
      known.broken = true;
      return false;
    }
    sent[preview.index] = preview.offset + preview.text.length;
    return true;
  }

  private finish(id: string): void {
    this.open.delete(id);
    this.finished.add(id);
    for (const oldest of this.finished) {
      if (this.finished.size <= FINISHED_MAX) break;
      this.finished.delete(oldest);
    }
  }
}
