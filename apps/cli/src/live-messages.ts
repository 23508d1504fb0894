/** The end of a piece that may go on in the next one: half a character, a line end, a sequence of a terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: this is what is looked for
const UNFINISHED = /(?:[\ud800-\udbff]|\r|\x1b(?:\[[\d;:]{0,16})?)$/;

interface Message {
  /** All that has come of it. */
  text: string;
  /** Of the text block that comes now. */
  index: number;
  /** Characters of `text` that were handed out. */
  shown: number;
}

/**
 * Messages that are being written, as a stream previews them. Previews are best effort: a connection that breaks loses
 * them, so the event itself says what is still missing of what was shown.
 */
export class LiveMessages {
  private readonly messages = new Map<string, Message>();

  /** @returns what to show now of the message; blocks are lines of their own, as in `textOf` */
  add(id: string, index: number, text: string): string {
    const message = this.messages.get(id) ?? { text: "", index: 0, shown: 0 };
    this.messages.set(id, message);
    message.text += (index > message.index ? "\n" : "") + text;
    message.index = index;
    const ready = message.text.length - (UNFINISHED.exec(message.text)?.[0].length ?? 0);
    if (ready <= message.shown) return "";
    const piece = message.text.slice(message.shown, ready);
    message.shown = ready;
    return piece;
  }

  /**
   * The event itself has come.
   * @returns what of its text was not shown yet; `undefined` when none of it was, or something else
   */
  finish(id: string, text: string): string | undefined {
    const message = this.messages.get(id);
    this.messages.delete(id);
    if (message === undefined || message.shown === 0 || !text.startsWith(message.text.slice(0, message.shown))) return undefined;
    return text.slice(message.shown);
  }

  /** The model request has ended: what has not come by now will not come. */
  clear(): void {
    this.messages.clear();
  }
}
