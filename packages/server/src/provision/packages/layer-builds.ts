import { setTimeout as sleep } from "node:timers/promises";
import { type Layers, type OpenEgress, SandboxError } from "@sandbox0/sandbox";
import { type EnvironmentRecipe, recipeOf } from "../../resources/environments/environment-recipe.ts";
import { repeat } from "../../resources/repeat.ts";
import {
  type BuildClaim,
  type BuildRow,
  claimBuild,
  dropWaitingBuild,
  noteBuildFailed,
  noteBuildProgress,
  noteBuildReady,
  readBuild,
  readWaitingBuilds,
} from "../../store/environment-builds.ts";
import { readEnvironmentById, readUsedEnvironments } from "../../store/environments.ts";
import type { Database } from "../../store/pool.ts";
import { BUILD_MS_MAX, BuildFailed, BuildStopped, buildLayer, type LayerBuild } from "./build-layer.ts";
import { buildImage, type OpenImage } from "./build-image.ts";
import { BuildTurns } from "./build-turns.ts";
import { type LayerBounds, type LayerMeter, LayerRoom } from "./layer-room.ts";

/** How often builds are looked for that somebody has asked for, or that a dead server has begun. */
const WAITING_SWEEP_MS = 1_000;
const WAITING_MAX = 16;
/** How often one looks whether another server has finished. */
const OTHERS_POLL_MS = 500;
const PROGRESS_MS = 1_000;
/** As many as there are users to build. */
const BUILDS_AT_ONCE = 2;
const UNUSED_SWEEP_MS = 60 * 60_000;
/** A layer that no environment in use needs is removed when no sandbox has started with it for this long. */
export const UNUSED_MS = 7 * 24 * 60 * 60_000;
/** After a failure, doubled for each further one. */
const BACK_OFF_MS = { first: 60_000, max: 60 * 60_000 };

export interface LayerBuildsDeps {
  db: Database;
  node: { id(): number; aliveNodes(): Promise<number[]> };
  layers: Layers;
  /** Of the layers' directory (`readStoreId`). */
  storeId: string;
  openEgress: OpenEgress | null;
  openImage: OpenImage;
  /** Of every command: mirrors, no secrets. */
  env: Readonly<Record<string, string>>;
  /** Whatever the environment lets a build reach is known then. */
  awaitRegistries(): Promise<void>;
  onProblem(problem: unknown): void;
  meter?: LayerMeter;
  bounds?: { buildMsMax?: number; backOffMs?: { first: number; max: number } } & Partial<LayerBounds>;
}

/** The prepared systems of environments on this server: made once, then shared by all their sessions. */
export interface LayerBuilds {
  /**
   * The layer of the environment as it is now, built if it is not there: waits for that, which may take minutes.
   * @returns its host directory; `null`: the environment has nothing to prepare
   * @throws BuildFailed, also without a try while the last failure is fresh; BuildStopped
   */
  layerOf(environmentId: string, signal: AbortSignal): Promise<string | null>;
  /** Whose network policy a building sandbox has. */
  environmentOf(sandboxId: string): string | null;
  /** Removes what has not been used for `UNUSED_MS` and no environment in use needs, and what is beyond the bounds. */
  removeUnused(now: Date): Promise<void>;
  /** Begins to build what is asked for. */
  start(): void;
  /** Stops what is being built: another server, or the next start, begins anew. */
  close(): Promise<void>;
}

export function createLayerBuilds(deps: LayerBuildsDeps): LayerBuilds {
  return new Builds(deps);
}

interface Wanted {
  recipe: EnvironmentRecipe;
  workspaceId: string;
  environmentId: string;
  /** It goes to the registries of package managers, and nowhere that is not allowed. */
  needsRegistries: boolean;
}

type Note = LayerBuild["onProgress"];
type Installation = Pick<LayerBuild, "name" | "signal" | "onProgress" | "admit"> & { system: string };

class Builds implements LayerBuilds {
  readonly #deps: LayerBuildsDeps;
  /** By the recipe's id. */
  readonly #running = new Map<string, Promise<string>>();
  readonly #environments = new Map<string, string>();
  /** By the recipe's id: when one is begun again whose row does not tell how it ended. */
  readonly #notBefore = new Map<string, number>();
  readonly #closing = new AbortController();
  readonly #turns = new BuildTurns(BUILDS_AT_ONCE);
  readonly #room: LayerRoom;
  #sweeps: { stop(): Promise<void> }[] = [];

  constructor(deps: LayerBuildsDeps) {
    this.#deps = deps;
    this.#room = new LayerRoom({ ...deps, isBuilding: (recipe) => this.#running.has(recipe) });
  }

  async layerOf(environmentId: string, signal: AbortSignal): Promise<string | null> {
    const wanted = await this.#wantedOf(environmentId);
    if (wanted === null) return null;
    const found = await this.#find(wanted.recipe);
    if (found !== null) return found;
    try {
      return await unlessAborted(signal, this.#joined(wanted));
    } catch (error) {
      const { base } = wanted.recipe;
      if (!(error instanceof BuildFailed) || base === null) throw error;
      const { message, step, logTail } = error;
      throw new BuildFailed(message, step, logTail, { cause: error, instead: await this.#find(base) });
    }
  }

  environmentOf(sandboxId: string): string | null {
    return this.#environments.get(sandboxId) ?? null;
  }

  start(): void {
    const { onProblem } = this.#deps;
    this.#sweeps = [
      repeat(() => this.#buildWaiting(), WAITING_SWEEP_MS, onProblem),
      repeat(() => this.removeUnused(new Date()), UNUSED_SWEEP_MS, onProblem),
    ];
  }

  async close(): Promise<void> {
    this.#closing.abort(new BuildStopped());
    await Promise.all(this.#sweeps.map((sweep) => sweep.stop()));
    await Promise.allSettled(this.#running.values());
  }

  async removeUnused(now: Date): Promise<void> {
    await this.#room.shrink();
    const { db, layers } = this.#deps;
    const old = (await layers.list()).filter(({ inUse, usedAt }) => !inUse && now.getTime() - usedAt.getTime() > UNUSED_MS);
    if (old.length === 0) return;
    const system = await layers.systemKey();
    const used = new Set<string>();
    for (const environment of await readUsedEnvironments(db)) {
      const recipe = recipeOf(environment.workspaceId, environment);
      for (const each of [recipe, recipe?.base]) if (each) used.add(layerName(each, system));
    }
    for (const { name } of old.filter((layer) => !used.has(layer.name))) await this.#room.remove(name, "unused");
  }

  async #wantedOf(environmentId: string): Promise<Wanted | null> {
    const environment = await readEnvironmentById(this.#deps.db.reads, environmentId);
    const recipe = environment === null ? null : recipeOf(environment.workspaceId, environment);
    if (environment === null || recipe === null) return null;
    const { workspaceId, config } = environment;
    const needsRegistries =
      config.type === "cloud" && config.networking.type === "limited" && config.networking.allow_package_managers;
    return { recipe, workspaceId, environmentId, needsRegistries };
  }

  /** Where sandboxes cannot have layers there is none; a build says why. */
  async #find(recipe: EnvironmentRecipe): Promise<string | null> {
    const { layers } = this.#deps;
    try {
      return await layers.find(layerName(recipe, await layers.systemKey()));
    } catch (error) {
      if (error instanceof SandboxError && error.code === "unavailable") return null;
      throw error;
    }
  }

  async #buildWaiting(): Promise<void> {
    const { db, node, storeId, onProblem } = this.#deps;
    const others = (await node.aliveNodes()).filter((id) => id !== node.id());
    for (const { recipe, environmentId } of await readWaitingBuilds(db.reads, storeId, others, WAITING_MAX)) {
      if (this.#running.has(recipe) || this.#isTooSoon(recipe)) continue;
      const wanted = environmentId === null ? null : await this.#wantedOf(environmentId);
      if (wanted?.recipe.id !== recipe) {
        // The environment has another one now.
        await dropWaitingBuild(db, recipe, storeId, others);
      } else {
        // Its row tells how it ended.
        this.#joined(wanted).catch((error: unknown) => {
          if (error instanceof BuildFailed || error instanceof BuildStopped) return;
          this.#notBefore.set(recipe, Date.now() + this.#backOffMs.first);
          onProblem(error);
        });
      }
    }
  }

  /** Of a recipe that waits although it was begun a moment ago. */
  #isTooSoon(recipe: string): boolean {
    for (const [each, time] of this.#notBefore) if (time <= Date.now()) this.#notBefore.delete(each);
    return this.#notBefore.has(recipe);
  }

  get #backOffMs(): { first: number; max: number } {
    return this.#deps.bounds?.backOffMs ?? BACK_OFF_MS;
  }

  /** One build of a recipe at a time: who comes later waits for the same. */
  #joined(wanted: Wanted): Promise<string> {
    const known = this.#running.get(wanted.recipe.id);
    if (known !== undefined) return known;
    const running = this.#build(wanted).finally(() => this.#running.delete(wanted.recipe.id));
    this.#running.set(wanted.recipe.id, running);
    return running;
  }

  async #build(wanted: Wanted): Promise<string> {
    await this.#buildBase(wanted);
    for (;;) {
      await this.#turns.take(wanted.workspaceId, this.#closing.signal);
      try {
        // Read before it is looked for: another server may finish in between.
        const before = await readBuild(this.#deps.db, wanted.recipe.id, this.#deps.storeId);
        const found = await this.#find(wanted.recipe);
        if (found !== null) return found;
        const claim = await this.#claim(wanted, before?.state === "ready" ? before.attempt : null);
        if ("nodeId" in claim) return await this.#run(wanted, claim);
        if (claim.state === "failed") throw failureOf(claim);
      } finally {
        this.#turns.give(wanted.workspaceId);
      }
      await sleep(OTHERS_POLL_MS, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    }
  }

  /** Before its turn, which the image has to take first. */
  async #buildBase(wanted: Wanted): Promise<void> {
    const { recipe } = wanted;
    if (recipe.base === null || (await this.#find(recipe.base)) !== null) return;
    try {
      await this.#joined({ ...wanted, recipe: recipe.base, needsRegistries: false });
    } catch (error) {
      const { db, node, storeId } = this.#deps;
      // The image's row says when the next try is; who asks then asks for both.
      if (error instanceof BuildFailed) await dropWaitingBuild(db, recipe.id, storeId, await node.aliveNodes());
      throw error;
    }
  }

  async #claim({ recipe, workspaceId, environmentId }: Wanted, lostAttempt: number | null): Promise<BuildClaim | BuildRow> {
    const { db, node, storeId } = this.#deps;
    const build = { recipe: recipe.id, storeId, workspaceId, environmentId, nodeId: node.id(), lostAttempt };
    const alive = await node.aliveNodes();
    return db.transaction((tx) => claimBuild(tx, build, alive));
  }

  async #run(wanted: Wanted, claim: BuildClaim): Promise<string> {
    const { db } = this.#deps;
    const stop = new AbortController();
    const progress = this.#followProgress(claim, stop);
    try {
      const { path, logTail } = await this.#make(wanted, AbortSignal.any([this.#closing.signal, stop.signal]), progress.note);
      await noteBuildReady(db, claim, logTail);
      return path;
    } catch (error) {
      const failure = error instanceof SandboxError ? new BuildFailed(error.message, null, "", { cause: error }) : error;
      if (failure instanceof BuildFailed) {
        const { message, step, logTail } = failure;
        await noteBuildFailed(db, claim, { error: message, step, logTail, backOffMs: this.#backOffMs });
      }
      throw failure;
    } finally {
      await progress.stop();
    }
  }

  async #make(wanted: Wanted, signal: AbortSignal, onProgress: Note): Promise<{ path: string; logTail: string }> {
    const { layers } = this.#deps;
    const { recipe, workspaceId } = wanted;
    const system = await layers.systemKey();
    const name = layerName(recipe, system);
    const admit = (sizeBytes: number): Promise<void> => this.#room.admit(name, workspaceId, sizeBytes);
    try {
      const logTail =
        recipe.image === null
          ? await this.#install(wanted, { name, system, signal, onProgress, admit })
          : await this.#unpack(recipe.image, { name, workspaceId, signal, onProgress, admit });
      const path = await layers.find(name);
      if (path === null) throw new BuildFailed("what was built is not there", null, logTail);
      return { path, logTail };
    } finally {
      this.#room.settle(name);
    }
  }

  async #unpack(image: string, build: Omit<Installation, "system"> & { workspaceId: string }): Promise<string> {
    const { layers, openImage, bounds } = this.#deps;
    return buildImage({ ...build, layers, image, openImage, timeMsMax: bounds?.buildMsMax ?? BUILD_MS_MAX });
  }

  async #install({ recipe, environmentId, needsRegistries }: Wanted, { system, ...build }: Installation): Promise<string> {
    const { layers, openEgress, env, bounds } = this.#deps;
    const awaitRegistries = needsRegistries ? this.#deps.awaitRegistries : nothingToAwait;
    const image = recipe.base === null ? null : layerName(recipe.base, system);
    const timeMsMax = bounds?.buildMsMax ?? BUILD_MS_MAX;
    const ids: string[] = [];
    const onSandbox = ({ id }: { id: string }): void => {
      ids.push(id);
      this.#environments.set(id, environmentId);
    };
    try {
      return await buildLayer({ ...build, layers, image, recipe, openEgress, env, awaitRegistries, timeMsMax, onSandbox });
    } finally {
      for (const id of ids) this.#environments.delete(id);
    }
  }

  /** Writes how it goes on now and then, and stops the build when it is another node's. */
  #followProgress(claim: BuildClaim, stop: AbortController) {
    const { db, onProblem } = this.#deps;
    let step: string | null = null;
    let logTail = (): string => "";
    let isNew = false;
    const write = async (): Promise<void> => {
      if (!isNew) return;
      isNew = false;
      if (!(await noteBuildProgress(db, claim, step, logTail()))) stop.abort();
    };
    const timer = repeat(write, PROGRESS_MS, onProblem);
    return {
      note: ((nowStep, nowTail) => {
        [step, logTail, isNew] = [nowStep, nowTail, true];
      }) satisfies Note,
      stop: () => timer.stop(),
    };
  }
}

const nothingToAwait = async (): Promise<void> => undefined;

/** As `recipeIn` reads it. */
const layerName = (recipe: EnvironmentRecipe, system: string): string => `${recipe.id}-${system}`;

function failureOf({ error, step, logTail, notBefore }: BuildRow): BuildFailed {
  const next = notBefore === null ? "" : `; the next try is at ${notBefore.toISOString()}`;
  return new BuildFailed(`${error ?? "it failed"}${next}`, step, logTail);
}

/** The build goes on for the next session. */
async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const cut = Promise.withResolvers<never>();
  const onAbort = (): void => cut.reject(new BuildStopped());
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  // When nobody waits for it any more.
  work.catch(() => undefined);
  try {
    return await Promise.race([work, cut.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
