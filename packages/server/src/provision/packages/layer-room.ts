import { type LayerInfo, type Layers, SandboxError } from "@sandbox0/sandbox";
import { forgetBuild, readBuildWorkspaces } from "../../store/environment-builds.ts";
import type { Database } from "../../store/pool.ts";

const GIB = 1024 ** 3;
/** What the layers of one directory may take together; what is being built comes on top, and has a limit of its own. */
export const LAYERS_BYTES_MAX = 64 * GIB;
/** Of that the layers of one workspace: also one whose sessions never end leaves room to others. */
export const WORKSPACE_BYTES_MAX = 24 * GIB;
/** A layer that was found so shortly ago may have a sandbox on its way. */
const FRESH_MS = 10 * 60_000;

export interface LayerRoomDeps {
  db: Database;
  layers: Layers;
  storeId: string;
  /** Of the layer's recipe. */
  isBuilding(recipe: string): boolean;
  meter?: LayerMeter | undefined;
  bounds?: Partial<LayerBounds> | undefined;
}

export interface LayerBounds {
  layersBytesMax: number;
  workspaceBytesMax: number;
  freshMs: number;
}

/** Told of what becomes of layers. */
export interface LayerMeter {
  /** `room`: for another one. */
  removed(why: "unused" | "room"): void;
  /** It was built, and there is no room for it. */
  refused(): void;
}

interface OwnedLayer extends LayerInfo {
  /** `null`: nobody's, of whose build nothing is known. */
  workspaceId: string | null;
}

/** The recipe's id has no hyphen. */
export const recipeIn = (layerName: string): string => layerName.split("-")[0] ?? "";

/**
 * Keeps layers within their bounds: for a new one the least recently used go, first those of the workspace that has most. No
 * workspace takes from one that has less, and no layer goes that sandboxes run with.
 */
export class LayerRoom {
  readonly #deps: LayerRoomDeps;
  readonly #bounds: LayerBounds;
  /** Admitted, and perhaps not there yet. */
  readonly #coming = new Map<string, OwnedLayer>();
  /** One after the other: each counts on what it has seen. */
  #last: Promise<void> = Promise.resolve();

  constructor(deps: LayerRoomDeps) {
    this.#deps = deps;
    this.#bounds = {
      layersBytesMax: LAYERS_BYTES_MAX,
      workspaceBytesMax: WORKSPACE_BYTES_MAX,
      freshMs: FRESH_MS,
      ...deps.bounds,
    };
  }

  /** Makes room for a layer that is about to be there, until `settle`. @throws SandboxError `limit` with a sentence */
  admit(name: string, workspaceId: string, sizeBytes: number): Promise<void> {
    return this.#inTurn(async () => {
      try {
        await this.#makeRoom({ workspaceId, sizeBytes });
      } catch (error) {
        if (error instanceof SandboxError) this.#deps.meter?.refused();
        throw error;
      }
      this.#coming.set(name, { name, workspaceId, sizeBytes, usedAt: new Date(), inUse: true });
    });
  }

  /** It is there, or will not be. */
  settle(name: string): void {
    this.#coming.delete(name);
  }

  /** Removes what is beyond the bounds: servers on the same directory know nothing of what the others admit. */
  shrink(): Promise<void> {
    return this.#inTurn(async () => {
      const workspaces = new Set((await this.#look()).map(({ workspaceId }) => workspaceId));
      for (const workspaceId of workspaces) {
        await this.#makeRoom({ workspaceId, sizeBytes: 0 }).catch((error: unknown) => {
          // What is in use stays.
          if (!(error instanceof SandboxError)) throw error;
        });
      }
    });
  }

  /** @returns false: it is in use, and stays */
  async remove(name: string, why: "unused" | "room"): Promise<boolean> {
    const { db, layers, storeId, meter } = this.#deps;
    if (!(await layers.remove(name))) return false;
    await forgetBuild(db, recipeIn(name), storeId);
    meter?.removed(why);
    return true;
  }

  async #makeRoom(wanted: { workspaceId: string | null; sizeBytes: number }): Promise<void> {
    const { layersBytesMax, workspaceBytesMax } = this.#bounds;
    const kept = new Set<string>();
    for (;;) {
      const layers = await this.#look();
      const ownBytes = bytesOf(layers.filter((layer) => layer.workspaceId === wanted.workspaceId)) + wanted.sizeBytes;
      const isOwnFull = wanted.workspaceId !== null && ownBytes > workspaceBytesMax;
      if (!isOwnFull && bytesOf(layers) + wanted.sizeBytes <= layersBytesMax) return;
      const removable = layers.filter((layer) => !kept.has(layer.name) && this.#isRemovable(layer));
      const own = removable.filter(({ workspaceId }) => workspaceId === wanted.workspaceId);
      const victim = oldest(isOwnFull ? own : largestShare(layers, removable, wanted.workspaceId, ownBytes));
      if (victim === undefined) throw noRoom(wanted.sizeBytes, isOwnFull ? workspaceBytesMax : layersBytesMax, isOwnFull);
      // A sandbox may have started with it meanwhile.
      if (!(await this.remove(victim.name, "room"))) kept.add(victim.name);
    }
  }

  #isRemovable({ name, inUse, usedAt }: OwnedLayer): boolean {
    return !inUse && !this.#deps.isBuilding(recipeIn(name)) && Date.now() - usedAt.getTime() > this.#bounds.freshMs;
  }

  async #look(): Promise<OwnedLayer[]> {
    const { db, layers, storeId } = this.#deps;
    const [found, workspaces] = [await layers.list(), await readBuildWorkspaces(db, storeId)];
    const there = found.map((layer) => ({ ...layer, workspaceId: workspaces.get(recipeIn(layer.name)) ?? null }));
    const names = new Set(there.map(({ name }) => name));
    return [...there, ...[...this.#coming.values()].filter(({ name }) => !names.has(name))];
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    // Whoever asked for it hears of it.
    this.#last = done.catch(() => undefined);
    return done;
  }
}

/** Of the removable layers those of the workspace that has most: nobody's before all others, and none that has less than asks. */
function largestShare(
  all: readonly OwnedLayer[],
  removable: readonly OwnedLayer[],
  asking: string | null,
  askingBytes: number,
): OwnedLayer[] {
  const shareOf = (workspaceId: string | null): number => {
    if (workspaceId === null) return Number.POSITIVE_INFINITY;
    if (workspaceId === asking) return askingBytes;
    return bytesOf(all.filter((layer) => layer.workspaceId === workspaceId));
  };
  const shares = new Map([...new Set(removable.map(({ workspaceId }) => workspaceId))].map((id) => [id, shareOf(id)]));
  const [most] = [...shares].filter(([id, bytes]) => id === asking || bytes >= askingBytes).toSorted((a, b) => b[1] - a[1]);
  return most === undefined ? [] : removable.filter(({ workspaceId }) => workspaceId === most[0]);
}

function oldest(layers: readonly OwnedLayer[]): OwnedLayer | undefined {
  return layers.toSorted((a, b) => a.usedAt.getTime() - b.usedAt.getTime())[0];
}

function bytesOf(layers: readonly OwnedLayer[]): number {
  return layers.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

function noRoom(sizeBytes: number, bytesMax: number, isOwn: boolean): SandboxError {
  const whose = isOwn ? "this workspace's environments" : "all environments on this server";
  return new SandboxError(
    "limit",
    `it takes ${gib(sizeBytes)} of disk, and there is no room for it: the packages of ${whose} may take ${gib(bytesMax)}, and those that sessions use now stay`,
  );
}

const gib = (bytes: number): string => `${(bytes / GIB).toFixed(1)} GiB`;
