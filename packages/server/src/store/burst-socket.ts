import { Socket } from "node:net";

/**
 * Sends what is written in one turn of the event loop as one piece: the statements of a pipelined transaction are one system
 * call that wakes Postgres once, where the driver makes one of each. Whoever writes may not change the bytes afterwards.
 */
export class BurstSocket extends Socket {
  #held: Uint8Array[] = [];

  override connect(...args: unknown[]): this {
    super.connect(...(args as [never]));
    // Not a method: `connect` puts Node's own one in its place.
    this.write = (chunk: Uint8Array | string, ...rest: unknown[]) => this.#hold(chunk, rest);
    return this;
  }

  #hold(chunk: Uint8Array | string, rest: unknown[]): boolean {
    if (typeof chunk === "string" || rest.length > 0) {
      this.#send();
      return super.write(chunk, ...(rest as []));
    }
    if (this.#held.push(chunk) === 1) process.nextTick(() => this.#send());
    return true;
  }

  #send(): void {
    const held = this.#held;
    this.#held = [];
    if (held.length > 0 && this.writable) super.write(held.length === 1 ? (held[0] as Uint8Array) : Buffer.concat(held));
  }
}
