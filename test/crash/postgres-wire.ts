/**
 * As much of the Postgres protocol (v3, "Message Formats") as it takes to see which statement a client sends and where
 * its answer ends.
 */

/** Cuts a byte stream into whole messages. */
export type Framer = (chunk: Buffer) => Buffer[];

const LENGTH_BYTES = 4;

/** @param startup the first message has no type byte: a client's side */
export function createFramer(startup: boolean): Framer {
  let rest: Buffer = Buffer.alloc(0);
  let typeBytes = startup ? 0 : 1;
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const messages: Buffer[] = [];
    while (rest.length >= typeBytes + LENGTH_BYTES) {
      const length = typeBytes + rest.readInt32BE(typeBytes);
      if (rest.length < length) break;
      messages.push(rest.subarray(0, length));
      rest = rest.subarray(length);
      typeBytes = 1;
    }
    return messages;
  };
}

export function messageType(message: Buffer): string {
  return String.fromCharCode(message[0] ?? 0);
}

/** A statement as the client sent it: what one ReadyForQuery of the server answers. */
export interface Statement {
  /** Of the prepared statement, or "". */
  name: string;
  sql: string;
  /** As text; `null` for NULL. */
  params: readonly (string | null)[];
}

/** Follows one connection's client side, prepared statements included. */
export class StatementReader {
  private readonly prepared = new Map<string, string>();
  private bound: Statement = { name: "", sql: "", params: [] };

  /** @returns the statement that this message completes, if it does */
  read(message: Buffer): Statement | undefined {
    const fields = new FieldReader(message);
    switch (messageType(message)) {
      case "Q":
        return { name: "", sql: fields.text(), params: [] };
      case "P":
        this.prepared.set(fields.text(), fields.text());
        return undefined;
      case "B":
        this.bound = this.readBind(fields);
        return undefined;
      case "S":
        return this.bound;
      default:
        return undefined;
    }
  }

  private readBind(fields: FieldReader): Statement {
    fields.text();
    const name = fields.text();
    fields.skip(2 * fields.int16());
    const params = Array.from({ length: fields.int16() }, () => fields.value());
    return { name, sql: this.prepared.get(name) ?? "", params };
  }
}

class FieldReader {
  private readonly message: Buffer;
  private at = 1 + LENGTH_BYTES;

  constructor(message: Buffer) {
    this.message = message;
  }

  text(): string {
    const end = this.message.indexOf(0, this.at);
    const text = this.message.toString("utf8", this.at, end);
    this.at = end + 1;
    return text;
  }

  int16(): number {
    const value = this.message.readInt16BE(this.at);
    this.at += 2;
    return value;
  }

  value(): string | null {
    const length = this.message.readInt32BE(this.at);
    this.at += LENGTH_BYTES;
    if (length < 0) return null;
    const text = this.message.toString("utf8", this.at, this.at + length);
    this.at += length;
    return text;
  }

  skip(bytes: number): void {
    this.at += bytes;
  }
}
