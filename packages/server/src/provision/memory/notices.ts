import { MEMORIES_PER_STORE_MAX } from "@sandbox0/protocol";
import type { SyncState } from "./sync-state.ts";

/** What the agent is told behind a call that wrote memories. */

/** A file that is not saved. `reason` ends a sentence; the agent is told once for each `stamp`. */
export interface Unsaved {
  path: string;
  reason: string;
  stamp: string;
  /** It is the other way round: a memory that is not shown. */
  isUnseen?: boolean;
}

/** Of one store at a time; the rest is counted. */
const SENTENCES_MAX = 8;
/** Files about which is remembered that the agent knows. */
const TOLD_MAX = 200;
/** Nobody may have asked for them for long. */
const WAITING_MAX = 20;
const PATH_CHARS_MAX = 300;

const OTHERS = "Somebody else (another session, or a user)";

export const notices = {
  conflict: (at: string, keptAt: string): string =>
    `${OTHERS} has changed the memory ${shown(at)} since you read it. The file now has that text. Your text is not saved as ` +
    `the memory; it is in ${keptAt}. Bring the two together and write the file again.`,
  restored: (at: string): string =>
    `${OTHERS} has changed the memory ${shown(at)} since you read it, so it was not deleted: the file is there again, with that text.`,
  putBack: (at: string): string => `The memory ${shown(at)} was not deleted, and the file is there again: its store is archived.`,
  createdAgain: (at: string): string =>
    `${OTHERS} had deleted or moved the memory ${shown(at)} while you changed it. Your text is saved as a new memory there.`,
  unseen: (at: string, reason: string): string => `The store has a memory ${shown(at)} that you cannot see as a file: ${reason}.`,
  unsaved: (at: string, reason: string): string =>
    `${shown(at)} is not saved as a memory, and only this sandbox has it: ${reason}.`,
  moreUnsaved: (count: number, mountPath: string): string => `${count} more under ${mountPath} are not saved either.`,
  diskTrouble: (): string =>
    "The disk of this server is full or broken: what was written under /mnt/memory may not be stored yet. It is tried again " +
    "behind each call, and when the session goes on.",
  cut: (mountPath: string, entriesMax: number): string =>
    `${mountPath} has more than ${entriesMax} files and directories (a store has ${MEMORIES_PER_STORE_MAX} memories at most). ` +
    "Nothing in it is saved until there are fewer.",
};

/** Adds a sentence to those that the next call's result carries. */
export function tell(state: SyncState, sentence: string): void {
  if (state.waiting.length < WAITING_MAX && !state.waiting.includes(sentence)) state.waiting.push(sentence);
}

/** Tells of what is not saved and the agent does not know yet. */
export function tellUnsaved(state: SyncState, mountPath: string, unsaved: readonly Unsaved[]): void {
  const keyOf = ({ reason, stamp }: Unsaved): string => `${stamp} ${reason}`;
  const news = unsaved.filter((each) => state.told.get(each.path) !== keyOf(each));
  for (const { path, reason, isUnseen } of news.slice(0, SENTENCES_MAX))
    tell(state, (isUnseen === true ? notices.unseen : notices.unsaved)(`${mountPath}${path}`, reason));
  if (news.length > SENTENCES_MAX) tell(state, notices.moreUnsaved(news.length - SENTENCES_MAX, mountPath));
  state.told = new Map(unsaved.slice(0, TOLD_MAX).map((each) => [each.path, keyOf(each)]));
}

/** A name may be made to say something to the model: it is one quoted piece of a line. */
function shown(path: string): string {
  return JSON.stringify(path.length > PATH_CHARS_MAX ? `${path.slice(0, PATH_CHARS_MAX)}…` : path);
}
