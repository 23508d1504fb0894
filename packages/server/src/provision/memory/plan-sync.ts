import { MEMORIES_PER_STORE_MAX } from "@sandbox0/protocol";

/** What the directory of a store holds (`LocalTree`), as far as deciding needs it. */
export interface LocalSide {
  files: ReadonlyMap<string, { sha256: string }>;
  isUnclear(path: string): boolean;
}

export type RemoteSide = ReadonlyMap<string, { id: string; sha256: string }>;

/**
 * `both`: what the session writes becomes memories. `mirror`: the directory is what the store is. `frozen`: the store takes
 * nothing any more; what the session has written meanwhile stays where it is.
 */
export type SyncMode = "both" | "mirror" | "frozen";

/** One thing to do at a path. `sha256`: what the memory must still have for it. */
export type SyncAction =
  /** Both have the same. */
  | { type: "agree"; path: string }
  /** Neither has it. */
  | { type: "forget"; path: string }
  | { type: "delete"; path: string; id: string; sha256: string }
  | { type: "rename"; path: string; from: string; id: string; sha256: string }
  | { type: "update"; path: string; id: string; sha256: string }
  /** `wasDeleted`: by others, while the session has changed it. */
  | { type: "create"; path: string; wasDeleted: boolean }
  /** The file becomes what the memory is. `was`: what the session had done, and loses. */
  | { type: "pull"; path: string; id: string; was: Lost }
  | { type: "remove"; path: string }
  /** `isFull`: because the store is. */
  | { type: "keep"; path: string; isFull: boolean };

/** `undeletable`: it had deleted what its store does not let go. */
type Lost = "nothing" | "deleted" | "undeletable" | "changed";

export interface SyncSides {
  /** By path: the hash that both had when they last had the same. */
  base: ReadonlyMap<string, string>;
  local: LocalSide;
  remote: RemoteSide;
}

/**
 * What brings a session's directory and its store together, in the order in which it has to be done. Whoever has not
 * changed a memory gets the other's change; where both have, the store wins (contract §P2.9).
 */
export function planSync(sides: SyncSides, mode: SyncMode): SyncAction[] {
  const paths = [...new Set([...sides.base.keys(), ...sides.local.files.keys(), ...sides.remote.keys()])].sort();
  const actions = paths.flatMap((path) => planPath(sides, mode, path));
  if (mode !== "both") return actions;
  return inOrder(withoutExcess(withRenames(actions, sides), sides.remote.size));
}

function planPath({ base, local, remote }: SyncSides, mode: SyncMode, path: string): SyncAction[] {
  const [was, here, there] = [base.get(path), local.files.get(path)?.sha256, remote.get(path)];
  if (here === there?.sha256) return [{ type: here === undefined ? "forget" : "agree", path }];
  const pull = (lost: Lost): SyncAction[] =>
    there === undefined ? [{ type: "remove", path }] : [{ type: "pull", path, id: there.id, was: lost }];
  if (here === undefined && local.isUnclear(path)) return [];
  if (mode === "mirror") return pull("nothing");
  if (here === was) return pull("nothing");
  // The session has changed something.
  if (here === undefined) {
    if (there === undefined) return [{ type: "forget", path }];
    if (mode === "frozen") return pull("undeletable");
    if (there.sha256 !== was) return pull("deleted");
    return [{ type: "delete", path, id: there.id, sha256: there.sha256 }];
  }
  if (there === undefined)
    return mode === "frozen"
      ? [{ type: "keep", path, isFull: false }]
      : [{ type: "create", path, wasDeleted: was !== undefined }];
  if (there.sha256 !== was) return pull("changed");
  return mode === "frozen"
    ? [{ type: "keep", path, isFull: false }]
    : [{ type: "update", path, id: there.id, sha256: there.sha256 }];
}

/** A memory that is gone at one path and there, unchanged, at a new one has moved, and keeps its id. */
function withRenames(actions: readonly SyncAction[], { local, remote }: SyncSides): SyncAction[] {
  const gone = new Map<string, Extract<SyncAction, { type: "delete" }>[]>();
  for (const action of actions)
    if (action.type === "delete") gone.set(action.sha256, [...(gone.get(action.sha256) ?? []), action]);
  const moved = new Set<string>();
  const tree = new PathTree(remote.keys());
  const renamed = actions.map((action): SyncAction => {
    if (action.type !== "create" || action.wasDeleted) return action;
    const [source, ...others] = gone.get(local.files.get(action.path)?.sha256 ?? "") ?? [];
    // Where something is in the way yet, it has to be deleted first: no rename then.
    if (source === undefined || tree.overlaps(action.path, source.path)) return action;
    gone.set(source.sha256, others);
    moved.add(source.path);
    return { ...source, type: "rename", from: source.path, path: action.path };
  });
  return renamed.filter(({ type, path }) => !(type === "delete" && moved.has(path)));
}

/** Creates beyond what the store can have stay undone. */
function withoutExcess(actions: readonly SyncAction[], remoteCount: number): SyncAction[] {
  let room = MEMORIES_PER_STORE_MAX - remoteCount + actions.filter(({ type }) => type === "delete").length;
  return actions.map((action) => {
    if (action.type !== "create") return action;
    room -= 1;
    return room >= 0 ? action : { type: "keep", path: action.path, isFull: true };
  });
}

/** Deletes make room for what follows them, at their paths and in number. */
const RANKS: Readonly<Record<SyncAction["type"], number>> = {
  agree: 0,
  forget: 0,
  delete: 1,
  rename: 2,
  update: 3,
  create: 3,
  remove: 4,
  pull: 5,
  keep: 6,
};

const inOrder = (actions: readonly SyncAction[]): SyncAction[] => actions.toSorted((a, b) => RANKS[a.type] - RANKS[b.type]);

/** Paths of memories, none of which may be below another one. */
class PathTree {
  readonly #paths: ReadonlySet<string>;
  /** How many are below a directory. */
  readonly #below = new Map<string, number>();

  constructor(paths: Iterable<string>) {
    this.#paths = new Set(paths);
    for (const path of this.#paths) for (const dir of above(path)) this.#below.set(dir, (this.#below.get(dir) ?? 0) + 1);
  }

  /** Whether a path other than `except` is above it or below it. */
  overlaps(path: string, except: string): boolean {
    const below = (this.#below.get(path) ?? 0) - (above(except).includes(path) ? 1 : 0);
    return below > 0 || above(path).some((dir) => dir !== except && this.#paths.has(dir));
  }
}

function above(path: string): string[] {
  const dirs: string[] = [];
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) dirs.push(path.slice(0, end));
  return dirs;
}
