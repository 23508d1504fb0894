import { createHash, randomBytes } from "node:crypto";
import {
  chownSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { belongsToTheDead, instanceTag } from "./instance.ts";
import { VOLUME_MOUNTS } from "./layout.ts";
import { makeDir, PASSAGE_MODE } from "./make-dir.ts";
import { SandboxError, type Volume } from "./port.ts";
import { removeTree } from "./remove-tree.ts";

/** Owners of volumes when the server is root: no account has them, and no two volumes the same. */
export interface OwnerRange {
  first: number;
  count: number;
}

/** Above everything that distributions and user-namespace maps hand out. */
const HIGH_OWNERS: OwnerRange = { first: 2_000_000_000, count: 1_000_000 };
/** Where the server is itself in a user namespace that has only the usual 65,536 ids. */
const LOW_OWNERS: OwnerRange = { first: 40_000, count: 20_000 };

/** What a volume or session may be called: the name becomes a file name. */
const NAME = /^[A-Za-z0-9_-]{1,128}$/;

/**
 * The volumes under one directory. A volume is its session's until it is deleted; one that no session has claimed when
 * its server dies is removed by the next.
 *
 * - `volumes/<id>/` the files, and `session` with the name of the session that claimed it
 * - `owners/<uid>` holds the id of the volume that has this owner
 * - `sessions/<session>` links to the session's volume
 * - `unclaimed/<instance>.<id>` marks a volume made ahead
 * - `unnamed/<id>` marks one that nothing names any more, since it was written
 * - `home` holds the directory's name
 */
export interface Volumes {
  /** Names the directory, among all there are. */
  readonly homeId: string;
  /** A new volume, made ahead for any session. */
  create(): Promise<Volume>;
  /** Gives it to a session, once. */
  claim(volume: Volume, sessionId: string): Promise<void>;
  /** The session's own, if it has claimed one: a claim that its caller lost in a crash is found again. */
  ofSession(sessionId: string): Promise<Volume | null>;
  /** @throws SandboxError `not_found` */
  open(id: string): Promise<Volume>;
  /** Idempotent; nothing may be running on it. */
  remove(id: string): Promise<void>;
  /** All but those that are made ahead. */
  list(): Promise<StoredVolume[]>;
  /** Remembers since when nothing names these, and forgets it of all others. @returns those for which that is longer than `ageMs` */
  markUnnamed(ids: readonly string[], ageMs: number): Promise<string[]>;
  /** Removes unclaimed volumes of servers that are gone. */
  sweep(): Promise<void>;
}

export interface StoredVolume {
  id: string;
  /** That claimed it; `null`: it is what is left of a volume. */
  sessionId: string | null;
}

/** @param owners `null`: volumes belong to the server's own user */
export async function openVolumes(path: string, owners: OwnerRange | null): Promise<Volumes> {
  const dir = resolve(path);
  const dirs = {
    volumes: join(dir, "volumes"),
    owners: join(dir, "owners"),
    sessions: join(dir, "sessions"),
    unclaimed: join(dir, "unclaimed"),
    unnamed: join(dir, "unnamed"),
  };
  for (const each of [dir, ...Object.values(dirs)]) makeDir(each, PASSAGE_MODE);
  return new DirectoryVolumes(nameOf(dir), dirs, owners);
}

/** Given once, whoever comes first. */
function nameOf(dir: string): string {
  const path = join(dir, "home");
  const draft = `${path}.${randomBytes(8).toString("hex")}`;
  const known = unlessMissing(() => readFileSync(path, "utf8"));
  if (known !== null) return known;
  writeFileSync(draft, `home_${randomBytes(16).toString("hex")}`);
  // Unlike a file that is written in place, a link is there whole or not at all.
  isNew(() => linkSync(draft, path));
  unlinkSync(draft);
  return readFileSync(path, "utf8");
}

/** How many owners lie behind those of sessions' volumes, for sandboxes that make layers: as many as there may be at a time. */
const SPARE_OWNERS = 2;

/** For root: the range that the server's user namespace can express. For users: `null`. */
export async function defaultOwners(): Promise<OwnerRange | null> {
  if (process.getuid?.() !== 0) return null;
  const map = await readFile("/proc/self/uid_map", "utf8");
  const lines = map
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number));
  const isMapped = ({ first, count }: OwnerRange): boolean =>
    lines.some(([inside = 0, , length = 0]) => inside <= first && first + count + SPARE_OWNERS <= inside + length);
  const range = [HIGH_OWNERS, LOW_OWNERS].find(isMapped);
  if (range === undefined)
    throw new SandboxError("unavailable", "the server runs as root of a user namespace that has no ids to spare");
  return range;
}

/** Owners that no session's volume has. */
export async function spareOwners(): Promise<OwnerRange | null> {
  const owners = await defaultOwners();
  return owners === null ? null : { first: owners.first + owners.count, count: SPARE_OWNERS };
}

type Dirs = Readonly<Record<"volumes" | "owners" | "sessions" | "unclaimed" | "unnamed", string>>;

/** Its few small steps are synchronous: as asynchronous ones they take ten times the processor time. */
class DirectoryVolumes implements Volumes {
  readonly homeId: string;
  readonly #dirs: Dirs;
  readonly #owners: OwnerRange | null;
  readonly #instance = instanceTag();

  constructor(homeId: string, dirs: Dirs, owners: OwnerRange | null) {
    this.homeId = homeId;
    this.#dirs = dirs;
    this.#owners = owners;
  }

  async create(): Promise<Volume> {
    const id = `vol_${randomBytes(16).toString("hex")}`;
    writeFileSync(this.#mark(id), "");
    const owner = this.#owners === null ? null : this.#takeOwner(id, this.#owners);
    const path = join(this.#dirs.volumes, id);
    mkdirSync(path, { mode: 0o700 });
    for (const { name, writable } of VOLUME_MOUNTS) {
      makeDir(join(path, name), 0o755);
      if (owner !== null && writable) chownSync(join(path, name), owner, owner);
    }
    if (owner !== null) chownSync(path, owner, owner);
    return { id, path };
  }

  async claim(volume: Volume, sessionId: string): Promise<void> {
    // The link is the claim; the file is there to find the link by.
    symlinkSync(volume.id, join(this.#dirs.sessions, checkName(sessionId)));
    writeFileSync(this.#sessionFile(volume.id), sessionId, { flag: "wx" });
    unlinkSync(this.#mark(volume.id));
  }

  async ofSession(sessionId: string): Promise<Volume | null> {
    const link = join(this.#dirs.sessions, checkName(sessionId));
    const id = unlessMissing(() => readlinkSync(link));
    return id === null ? null : this.open(id);
  }

  async open(id: string): Promise<Volume> {
    const path = join(this.#dirs.volumes, checkName(id));
    if (unlessMissing(() => statSync(path)) === null) throw new SandboxError("not_found", `there is no volume ${id}`);
    // One of an earlier version has not all of them.
    for (const { name } of VOLUME_MOUNTS.filter(({ writable }) => !writable)) makeDir(join(path, name), 0o755);
    return { id, path };
  }

  async remove(id: string): Promise<void> {
    const path = join(this.#dirs.volumes, checkName(id));
    const found = unlessMissing(() => statSync(path));
    if (found !== null) {
      const sessionId = unlessMissing(() => readFileSync(this.#sessionFile(id), "utf8"));
      if (sessionId !== null) this.#removeLink(sessionId, id);
      await removeTree(path);
      if (this.#owners !== null) unlessMissing(() => unlinkSync(join(this.#dirs.owners, String(found.uid))));
    }
    for (const mark of [this.#mark(id), join(this.#dirs.unnamed, id)]) unlessMissing(() => unlinkSync(mark));
  }

  async list(): Promise<StoredVolume[]> {
    const ids = await readdir(this.#dirs.volumes);
    const ahead = new Set((await readdir(this.#dirs.unclaimed)).map(volumeIn));
    const stored = ids.filter((id) => !ahead.has(id));
    return stored.map((id) => ({ id, sessionId: unlessMissing(() => readFileSync(this.#sessionFile(id), "utf8")) }));
  }

  async markUnnamed(ids: readonly string[], ageMs: number): Promise<string[]> {
    const unnamed = new Set(ids);
    for (const id of await readdir(this.#dirs.unnamed)) {
      if (!unnamed.has(id)) unlessMissing(() => unlinkSync(join(this.#dirs.unnamed, id)));
    }
    const now = Date.now();
    return ids.filter((id) => {
      const mark = join(this.#dirs.unnamed, checkName(id));
      if (isNew(() => writeFileSync(mark, "", { flag: "wx" }))) return false;
      const since = unlessMissing(() => statSync(mark));
      return since !== null && now - since.mtimeMs > ageMs;
    });
  }

  /** One that a crash has left behind may have the name of a session that has another by now. */
  #removeLink(sessionId: string, volumeId: string): void {
    const link = join(this.#dirs.sessions, sessionId);
    if (unlessMissing(() => readlinkSync(link)) === volumeId) unlessMissing(() => unlinkSync(link));
  }

  async sweep(): Promise<void> {
    const marks = (await readdir(this.#dirs.unclaimed)).filter(belongsToTheDead);
    const sessions = marks.length === 0 ? new Map<string, string>() : await this.#sessionsByVolume();
    for (const mark of marks) {
      const id = volumeIn(mark);
      const sessionId = sessions.get(id);
      if (sessionId === undefined) await this.remove(id);
      // The server died in the middle of a claim, which stands.
      else writeFileSync(this.#sessionFile(id), sessionId);
      unlessMissing(() => unlinkSync(join(this.#dirs.unclaimed, mark)));
    }
  }

  async #sessionsByVolume(): Promise<Map<string, string>> {
    const names = await readdir(this.#dirs.sessions);
    return new Map(names.map((name) => [readlinkSync(join(this.#dirs.sessions, name)), name]));
  }

  #sessionFile(id: string): string {
    return join(this.#dirs.volumes, id, "session");
  }

  #mark(id: string): string {
    return join(this.#dirs.unclaimed, `${this.#instance}.${id}`);
  }

  /** Starts at a place that depends on the id and goes on to the next free one; making the file is taking it. */
  #takeOwner(id: string, { first, count }: OwnerRange): number {
    const start = createHash("sha256").update(id).digest().readUInt32LE(0);
    for (let step = 0; step < count; step++) {
      const owner = first + ((start + step) % count);
      if (isNew(() => writeFileSync(join(this.#dirs.owners, String(owner)), id, { flag: "wx" }))) return owner;
    }
    throw new SandboxError("limit", `all ${count} owners of volumes are taken`);
  }
}

/** Of a volume made ahead, whose mark this is. */
const volumeIn = (mark: string): string => mark.slice(mark.lastIndexOf(".") + 1);

function checkName(name: string): string {
  if (!NAME.test(name)) throw new SandboxError("path_refused", `not a name of a volume or session: ${JSON.stringify(name)}`);
  return name;
}

function isNew(make: () => void): boolean {
  try {
    make();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function unlessMissing<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
