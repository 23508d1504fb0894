import type { Output } from "./command.ts";
import { formatEvent, formatHead, indentText, type SessionEvent, type StreamEvent, textOf } from "./event-line.ts";
import { isPreview } from "./follow.ts";
import { LiveMessages } from "./live-messages.ts";
import { createPaint, type Paint } from "./paint.ts";
import { printLine } from "./print.ts";
import { safeJson, safeText } from "./terminal-text.ts";

/** Prints what a session's stream brings: a line an event, messages as they are written; or JSON, a line each. */
export class EventPrinter {
  private readonly output: Output;
  private readonly json: boolean;
  private readonly paint: Paint;
  private readonly live = new LiveMessages();
  /** The message whose last line is not ended yet. */
  private openId: string | undefined;

  constructor(output: Output, options: { json: boolean }) {
    this.output = output;
    this.json = options.json;
    this.paint = createPaint(output.stdout);
  }

  print(event: StreamEvent): void {
    if (this.json) printLine(this.output, safeJson(JSON.stringify(event)));
    else if (isPreview(event)) this.preview(event);
    else this.event(event);
  }

  /** Ends a line that a message has left open. */
  endLine(): void {
    if (this.openId !== undefined) printLine(this.output);
    this.openId = undefined;
  }

  private preview(event: Extract<StreamEvent, { type: "event_start" | "event_delta" }>): void {
    if (event.type === "event_start") return;
    const { content, index = 0 } = event.delta;
    this.write(event.event_id, this.live.add(event.event_id, index, content.text));
  }

  private event(event: SessionEvent): void {
    const rest = event.type === "agent.message" ? this.live.finish(event.id, textOf(event.content)) : undefined;
    if (rest !== undefined && "id" in event) {
      this.write(event.id, rest);
      this.endLine();
      return;
    }
    if (event.type === "span.model_request_end") this.live.clear();
    this.endLine();
    printLine(this.output, formatEvent(event, { paint: this.paint, full: true }));
  }

  private write(id: string, text: string): void {
    if (text === "") return;
    if (this.openId !== id) {
      this.endLine();
      this.output.stdout.write(formatHead("live", "agent.message", this.paint));
      this.openId = id;
    }
    this.output.stdout.write(indentText(safeText(text)));
  }
}
