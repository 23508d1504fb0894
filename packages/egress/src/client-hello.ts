/** TLS 1.x on the wire (RFC 8446 §4.1.2, §5.1; RFC 6066 §3). */
const HANDSHAKE_RECORD = 22;
const CLIENT_HELLO = 1;
const RECORD_HEADER_BYTES = 5;
const RECORD_BYTES_MAX = 16_384;
const HANDSHAKE_HEADER_BYTES = 4;
const VERSION_AND_RANDOM_BYTES = 34;
const SERVER_NAME_EXTENSION = 0;
const HOST_NAME = 0;
/** RFC 9849 §5. */
const ENCRYPTED_CLIENT_HELLO_EXTENSION = 0xfe0d;

interface Words {
  /** Of the outer hello, if another is encrypted in it. */
  serverName: string | null;
  /** There may be another hello in it. Clients also send noise there (GREASE), made so that nobody can tell it apart. */
  encrypted: boolean;
}

export type ClientHello = { state: "incomplete" } | { state: "invalid" } | ({ state: "complete" } & Words);

/** Whether a connection that begins with this byte speaks TLS. */
export const beginsTls = (firstByte: number): boolean => firstByte === HANDSHAKE_RECORD;

/**
 * Reads the server name of a ClientHello from the bytes a client has sent so far. More than one name, or one that is not ASCII, is `invalid`.
 */
export const readClientHello = (bytes: Buffer): ClientHello => {
  const message = joinRecords(bytes);
  if (message === "invalid") return { state: "invalid" };
  if (message.length < HANDSHAKE_HEADER_BYTES) return { state: "incomplete" };
  if (message[0] !== CLIENT_HELLO) return { state: "invalid" };
  const end = HANDSHAKE_HEADER_BYTES + message.readUIntBE(1, 3);
  if (message.length < end) return { state: "incomplete" };
  try {
    return { state: "complete", ...wordsOf(message.subarray(HANDSHAKE_HEADER_BYTES, end)) };
  } catch (error) {
    if (error instanceof RangeError) return { state: "invalid" };
    throw error;
  }
};

/** What the handshake records hold so far: a ClientHello may be spread over several. */
const joinRecords = (bytes: Buffer): Buffer | "invalid" => {
  const fragments: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (bytes[at] !== HANDSHAKE_RECORD || (bytes[at + 1] ?? 3) !== 3)
      return fragments.length > 0 ? Buffer.concat(fragments) : "invalid";
    if (bytes.length < at + RECORD_HEADER_BYTES) break;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > RECORD_BYTES_MAX) return "invalid";
    fragments.push(bytes.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + length));
    at += RECORD_HEADER_BYTES + length;
  }
  return Buffer.concat(fragments);
};

/** Throws a `RangeError` when a length leads out of what holds it. */
const wordsOf = (hello: Buffer): Words => {
  const reader = createReader(hello);
  reader.take(VERSION_AND_RANDOM_BYTES);
  reader.vector(1); // session id
  reader.vector(2); // cipher suites
  reader.vector(1); // compression methods
  if (reader.atEnd()) return { serverName: null, encrypted: false };
  const extensions = createReader(reader.vector(2));
  const names: string[] = [];
  let encrypted = false;
  while (!extensions.atEnd()) {
    const type = extensions.take(2).readUInt16BE();
    const content = extensions.vector(2);
    if (type === SERVER_NAME_EXTENSION) names.push(...hostNamesOf(content));
    if (type === ENCRYPTED_CLIENT_HELLO_EXTENSION) encrypted = true;
  }
  if (names.length > 1) throw new RangeError("more than one server name");
  return { serverName: names[0] ?? null, encrypted };
};

const hostNamesOf = (extension: Buffer): string[] => {
  const list = createReader(createReader(extension).vector(2));
  const names: string[] = [];
  while (!list.atEnd()) {
    const type = list.take(1)[0];
    const name = list.vector(2);
    if (type !== HOST_NAME || name.some((byte) => byte > 0x7e || byte < 0x21)) throw new RangeError("not a host name");
    names.push(name.toString("latin1"));
  }
  return names;
};

interface Reader {
  take(bytes: number): Buffer;
  /** What follows its own length of so many bytes. */
  vector(lengthBytes: 1 | 2): Buffer;
  atEnd(): boolean;
}

const createReader = (bytes: Buffer): Reader => {
  let at = 0;
  const take = (length: number): Buffer => {
    if (at + length > bytes.length) throw new RangeError("cut short");
    at += length;
    return bytes.subarray(at - length, at);
  };
  return { take, vector: (lengthBytes) => take(take(lengthBytes).readUIntBE(0, lengthBytes)), atEnd: () => at === bytes.length };
};
