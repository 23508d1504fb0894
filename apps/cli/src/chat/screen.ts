import type { Output } from "../command.ts";
import { type SessionEvent, type StreamEvent, textOf } from "../event-line.ts";
import { isPreview } from "../follow.ts";
import { LiveMessages } from "../live-messages.ts";
import { createPaint, type Paint, type Style } from "../paint.ts";
import { shorten } from "../print.ts";
import { safeLine, safeText } from "../terminal-text.ts";
import type { ToolCall } from "./conversation.ts";
import type { Lines } from "./lines.ts";

const CALL_CHARS_MAX = 300;
const RESULT_CHARS_MAX = 300;
/** Of the input of a call that a person is asked about: all of it, in reason. */
const QUESTION_CHARS_MAX = 20_000;

/** A session as a conversation on a terminal, or in a pipe. Everything of others is made safe here. */
export class Screen {
  private readonly output: Output;
  private readonly lines: Lines;
  private readonly paint: Paint;
  private readonly live = new LiveMessages();
  private atLineStart = true;

  constructor(output: Output, lines: Lines) {
    this.output = output;
    this.lines = lines;
    this.paint = createPaint(output.stdout);
  }

  get prompt(): string {
    return this.paint("cyan", "> ");
  }

  show(event: StreamEvent, options: { mine: boolean }): void {
    if (!isPreview(event)) this.event(event, options.mine);
    else if (event.type === "event_delta")
      this.write(safeText(this.live.add(event.event_id, event.delta.index ?? 0, event.delta.content.text)));
  }

  /** A line of this program's own. */
  note(text: string, style: Style = "dim"): void {
    this.line(this.paint(style, safeText(text)));
  }

  /** What a person has to decide about. */
  question(call: ToolCall): void {
    const asks = call.type === "agent.custom_tool_use" ? "is yours to answer" : "asks to run";
    this.line(this.paint(["bold", "yellow"], `? ${safeLine(nameOf(call))} ${asks}:`));
    const input = JSON.stringify(call.input, null, 2);
    const cut = input.length > QUESTION_CHARS_MAX ? `\n… and ${input.length - QUESTION_CHARS_MAX} characters more` : "";
    this.line(safeText(readable(input.slice(0, QUESTION_CHARS_MAX)) + cut));
  }

  private event(event: SessionEvent, mine: boolean): void {
    switch (event.type) {
      case "user.message":
        // Once: when it is taken up. What was typed here is on the screen already.
        if (event.processed_at && !mine) this.line(`${this.prompt}${safeText(textOf(event.content))}`);
        return;
      case "agent.message":
        this.message(event.id, textOf(event.content));
        return;
      case "agent.tool_use":
      case "agent.mcp_tool_use":
      case "agent.custom_tool_use":
        this.line(
          `${this.paint("yellow", `→ ${safeLine(nameOf(event))}`)} ${this.paint("dim", safeLine(shorten(JSON.stringify(event.input), CALL_CHARS_MAX)))}`,
        );
        return;
      case "agent.tool_result":
      case "agent.mcp_tool_result": {
        const text = safeLine(shorten(textOf(event.content ?? []), RESULT_CHARS_MAX));
        this.line(this.paint(event.is_error === true ? "red" : "dim", `← ${text}`));
        return;
      }
      case "span.model_request_end":
        this.live.clear();
        this.endLine();
        return;
      case "session.error":
        this.note(`${event.error.type}: ${event.error.message}`, "red");
        return;
      case "session.status_rescheduled":
        this.note("trying again soon");
        return;
      case "session.status_idle":
        this.endLine();
        if (event.stop_reason.type !== "end_turn" && event.stop_reason.type !== "requires_action")
          this.note(`stopped: ${event.stop_reason.type}`, "red");
        return;
      case "session.status_terminated":
        this.note("the session was terminated", "red");
        return;
      case "session.deleted":
        this.note("the session was deleted", "red");
    }
  }

  private message(id: string, text: string): void {
    const rest = this.live.finish(id, text);
    // What was shown is not how it begins, or nothing was: it stands on lines of its own.
    if (rest === undefined) this.endLine();
    this.write(safeText(rest ?? text));
    this.endLine();
  }

  private line(text: string): void {
    this.endLine();
    this.write(`${text}\n`);
  }

  private endLine(): void {
    if (!this.atLineStart) this.write("\n");
  }

  private write(text: string): void {
    if (text === "") return;
    if (this.atLineStart) this.lines.hide();
    this.output.stdout.write(text);
    this.atLineStart = text.endsWith("\n");
    if (this.atLineStart) this.lines.show();
  }
}

function nameOf(call: ToolCall): string {
  return call.type === "agent.mcp_tool_use" ? `${call.mcp_server_name} ${call.name}` : call.name;
}

/**
 * Line ends in the texts of JSON as line ends: programs and documents are read before they are allowed. The bar says that
 * a line goes on inside of a text; a quote there still has its backslash.
 */
const readable = (json: string): string => json.replaceAll(/\\(.)/g, (pair, char) => (char === "n" ? "\n  │ " : pair));
