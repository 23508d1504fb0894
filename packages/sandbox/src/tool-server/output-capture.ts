import type { Sandbox } from "../port.ts";
import { cleanOutput, PREVIEW_HEAD_CHARS, PREVIEW_TAIL_CHARS, previewText, RESULT_CHARS_MAX } from "./result-text.ts";
import { Spill } from "./spill.ts";

/** No text of so many bytes has fewer than `RESULT_CHARS_MAX` characters: UTF-8 takes up to four for one. */
const MEMORY_BYTES_MAX = RESULT_CHARS_MAX * 4;
const TAIL_BYTES = PREVIEW_TAIL_CHARS * 4;

/** The output of one command, in constant memory: short ones as they are, long ones in a file with a preview. */
export class OutputCapture {
  readonly #sandbox: Sandbox;
  readonly #name: string;
  /** All of it, until it is too much; then only the start. */
  #head: Buffer[] = [];
  #tail: Buffer = Buffer.alloc(0);
  #bytes = 0;
  #spill: Spill | null = null;

  /** @param name of the file, should there be one */
  constructor(sandbox: Sandbox, name: string) {
    this.#sandbox = sandbox;
    this.#name = name;
  }

  /** Resolves when more may come. */
  async add(bytes: Buffer): Promise<void> {
    this.#bytes += bytes.length;
    if (this.#spill !== null) {
      this.#tail = Buffer.concat([this.#tail, bytes]).subarray(-TAIL_BYTES);
      return this.#spill.write(bytes);
    }
    this.#head.push(bytes);
    if (this.#bytes > MEMORY_BYTES_MAX) await this.#startSpill();
  }

  /** @returns the text for the model, with `(no output)` still to be put in for nothing */
  async finish(): Promise<string> {
    if (this.#spill === null) {
      const text = cleanOutput(Buffer.concat(this.#head).toString("utf8"));
      if (text.length <= RESULT_CHARS_MAX) return text;
      await this.#startSpill();
    }
    return this.#preview(this.#spill);
  }

  /** Nobody wants it any more. */
  abandon(): void {
    this.#spill?.abandon();
  }

  async #startSpill(): Promise<void> {
    const whole = Buffer.concat(this.#head);
    this.#head = [Buffer.from(whole.subarray(0, PREVIEW_HEAD_CHARS * 4))];
    this.#tail = Buffer.from(whole.subarray(-TAIL_BYTES));
    this.#spill = await Spill.open(this.#sandbox, this.#name);
    await this.#spill.write(whole);
  }

  async #preview(spill: Spill | null): Promise<string> {
    const isSaved = spill !== null && (await spill.close());
    return previewText({
      head: cleanOutput(Buffer.concat(this.#head).toString("utf8")).slice(0, PREVIEW_HEAD_CHARS),
      tail: cleanOutput(this.#tail.toString("utf8")).slice(-PREVIEW_TAIL_CHARS),
      bytes: this.#bytes,
      path: isSaved ? spill.path : null,
      isCut: spill?.isCut ?? false,
    });
  }
}
