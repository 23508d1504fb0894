/**
 * Ids: a prefix and 24 characters of base 58 that begin with `01` (contract §1.9). The first 16 characters hold the
 * millisecond and a random tail follows, so ids made later sort later. Clients treat them as opaque; so do we: order
 * comes from `seq`, never from an id.
 */
export const ID_PREFIXES = {
  agent: "agent_",
  environment: "env_",
  session: "sesn_",
  event: "sevt_",
  sessionResource: "sesrsc_",
  snapshot: "snap_",
  thread: "sthr_",
  outcome: "outc_",
  vault: "vlt_",
  credential: "vcrd_",
  memoryStore: "memstore_",
  memory: "mem_",
  memoryVersion: "memver_",
  file: "file_",
  skill: "skill_",
  skillVersion: "skver_",
  workspace: "wrkspc_",
  apiKey: "apikey_",
  request: "req_",
} as const;

export type IdKind = keyof typeof ID_PREFIXES;

const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const TIME_CHARS = 9;

/** A new id of the kind. Random part: 13 base-58 characters (76 bits). */
export function createId(kind: IdKind): string {
  // The system is asked for randomness of many of these at a time; for the bytes alone it would be asked each time, at a
  // hundred times the cost. 48 bits give 8 characters, 32 bits give 5.
  const uuid = crypto.randomUUID();
  const random = base58(Number.parseInt(uuid.slice(24), 16), 8) + base58(Number.parseInt(uuid.slice(0, 8), 16), 5);
  return `${ID_PREFIXES[kind]}01${base58(Date.now(), TIME_CHARS)}${random}`;
}

/** The last `chars` digits of a whole number. */
function base58(number: number, chars: number): string {
  let digits = "";
  for (let rest = number, i = 0; i < chars; i++) {
    digits = ALPHABET.charAt(rest % 58) + digits;
    rest = Math.floor(rest / 58);
  }
  return digits;
}
