/** The end of a piece that may go on in the next one: half a character, a line end, a sequence of a terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: this is what is looked for
const UNFINISHED = /(?:[\ud800-\udbff]|\r|\x1b(?:\[[\d;:]{0,16})?)$/;

interface Message {
  /** What was handed out. */
  shown: string[];
  /** What waits for the rest of it. */
  held: string;
  /** Of the text block that comes now. */
  index: number;
}

/**
 * Messages that are being written, as a stream previews them. Previews are best effort: a connection that breaks loses
 * them, so the event itself says what is still missing of what was shown.
 */
export class LiveMessages {
  private readonly messages = new Map<string, Message>();

  /** @returns what to show now of the message; blocks are lines of their own, as in `textOf` */
  add(id: string, index: number, text: string): string {
    const message = this.messages.get(id) ?? { shown: [], held: "", index: 0 };
    this.messages.set(id, message);
    const whole = message.held + (index > message.index ? "\n" : "") + text;
    message.index = index;
    const ready = whole.length - (UNFINISHED.exec(whole)?.[0].length ?? 0);
    message.held = whole.slice(ready);
    const piece = whole.slice(0, ready);
    if (piece !== "") message.shown.push(piece);
    return piece;
  }

  /**
   * The event itself has come.
   * @returns what of its text was not shown yet; `undefined` when none of it was, or something else
   */
  finish(id: string, text: string): string | undefined {
    const shown = this.messages.get(id)?.shown.join("") ?? "";
    this.messages.delete(id);
    return shown === "" || !text.startsWith(shown) ? undefined : text.slice(shown.length);
  }

  /** The model request has ended: what has not come by now will not come. */
  clear(): void {
    this.messages.clear();
  }
}
