import type { SessionEvent, StreamEvent } from "../event-line.ts";
import { isPreview } from "../follow.ts";

export type ToolCall = Extract<SessionEvent, { type: "agent.tool_use" | "agent.mcp_tool_use" | "agent.custom_tool_use" }>;
type StopReason = Extract<SessionEvent, { type: "session.status_idle" }>["stop_reason"];

/** Where a session stands, as its events say: whether it works, and what it waits for. */
export class Conversation {
  private status: "idle" | "running" | "ended" = "idle";
  private stopReason: StopReason | undefined;
  /** Tool calls without a result, by their ids. */
  private readonly calls = new Map<string, ToolCall>();
  /** What this program sent and the session has not taken up. */
  private readonly sent = new Set<string>();
  private readonly taken = new Set<string>();
  private readonly listeners = new Set<() => void>();
  private live = false;

  /** The history has been read: from now on it is how things are. */
  goLive(): void {
    this.live = true;
    this.notify();
  }

  apply(event: StreamEvent): void {
    if (isPreview(event)) return;
    this.take(event);
    this.notify();
  }

  /** Nothing more will come. */
  end(): void {
    this.status = "ended";
    this.notify();
  }

  /** Inputs are on their way: the session is at work until it has taken them up and come to rest. */
  expect(ids: readonly string[]): void {
    for (const id of ids) if (!this.taken.has(id)) this.sent.add(id);
  }

  wasSentHere(id: string): boolean {
    return this.sent.has(id);
  }

  get isOver(): boolean {
    return this.status === "ended";
  }

  /** It works, or is about to. */
  get isBusy(): boolean {
    return !this.live || this.status === "running" || this.sent.size > 0;
  }

  /** Why it stopped last; `undefined` before it ever did. */
  get stopped(): StopReason["type"] | undefined {
    return this.stopReason?.type;
  }

  /** The calls that it waits for a person to answer; what waits for a worker is not among them. */
  get waitingFor(): ToolCall[] {
    if (this.isBusy || this.stopReason?.type !== "requires_action") return [];
    const calls = this.stopReason.event_ids.flatMap((id) => this.calls.get(id) ?? []);
    return calls.filter((call) => call.type === "agent.custom_tool_use" || call.evaluated_permission === "ask");
  }

  /** @returns what stops listening */
  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Resolves when `condition` holds, or the session is over. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (!condition() && !this.isOver) return;
        stop();
        resolve();
      };
      const stop = this.onChange(look);
      look();
    });
  }

  private take(event: SessionEvent): void {
    switch (event.type) {
      case "user.message":
      case "user.tool_confirmation":
      case "user.custom_tool_result":
        // Taken up: it runs from here on, although another event says so.
        if (event.processed_at) this.takeUp(event.id);
        return;
      case "agent.tool_use":
      case "agent.mcp_tool_use":
      case "agent.custom_tool_use":
        this.calls.set(event.id, event);
        return;
      case "agent.tool_result":
        this.calls.delete(event.tool_use_id);
        return;
      case "agent.mcp_tool_result":
        this.calls.delete(event.mcp_tool_use_id);
        return;
      case "session.status_running":
      case "session.status_rescheduled":
        this.status = "running";
        return;
      case "session.status_idle":
        this.status = "idle";
        this.stopReason = event.stop_reason;
        return;
      case "session.status_terminated":
      case "session.deleted":
        this.status = "ended";
    }
  }

  private takeUp(id: string): void {
    this.taken.add(id);
    this.sent.delete(id);
    this.status = "running";
  }

  private notify(): void {
    for (const listener of [...this.listeners]) listener();
  }
}
