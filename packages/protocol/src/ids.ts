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
const RANDOM_CHARS = 13;

/** A new id of the kind. Random part: 13 base-58 characters (76 bits). */
export function createId(kind: IdKind): string {
  let time = "";
  for (let rest = Date.now(), i = 0; i < TIME_CHARS; i++) {
    time = ALPHABET[rest % 58] + time;
    rest = Math.floor(rest / 58);
  }
  let random = "";
  const bytes = crypto.getRandomValues(new Uint32Array(RANDOM_CHARS));
  for (const word of bytes) random += ALPHABET[word % 58];
  return `${ID_PREFIXES[kind]}01${time}${random}`;
}
