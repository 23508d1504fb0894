import type { Layers, OpenEgress, Sandbox, SandboxLimits } from "@sandbox0/sandbox";
import { SandboxError } from "@sandbox0/sandbox";
import type { EnvironmentRecipe } from "../../resources/environments/environment-recipe.ts";
import { buildScript } from "./build-script.ts";
import { createLogTail, withoutControls } from "./log-tail.ts";

const GIB = 1024 ** 3;
/** A build that takes longer has failed; also one of an image. */
export const BUILD_MS_MAX = 30 * 60_000;
/** Of one build; what it leaves counts to the disk of the server, not of a session. */
const BUILD_LIMITS: SandboxLimits = {
  memoryBytesMax: 4 * GIB,
  processesMax: 1024,
  diskBytesMax: 10 * GIB,
  openFilesMax: 4096,
  cpuCoresMax: 2,
};
const STEP_CHARS_MAX = 32;
/** Of why it failed, which may be in the words of a registry or an image. */
const REASON_CHARS_MAX = 2_000;

/** It was tried, and why nothing came of it. */
export class BuildFailed extends Error {
  readonly code = "build_failed";
  /** What failed; `null`: none of the steps. */
  readonly step: string | null;
  /** The end of its output. */
  readonly logTail: string;
  /** What there is without it: the image that it was to be made over. */
  readonly instead: string | null;
  constructor(message: string, step: string | null, logTail: string, options: ErrorOptions & { instead?: string | null } = {}) {
    super(withoutControls(message.slice(0, REASON_CHARS_MAX)), options);
    this.instead = options.instead ?? null;
    this.step = step;
    this.name = "BuildFailed";
    this.logTail = logTail;
  }
}

/** The server closes, or another node has taken the build over. */
export class BuildStopped extends Error {
  readonly code = "build_stopped";
  constructor() {
    super("the build was stopped");
    this.name = "BuildStopped";
  }
}

export interface LayerBuild {
  layers: Layers;
  /** Of the layer. */
  name: string;
  /** The name of the image's layer that it lies over; `null`: this machine's system. */
  image: string | null;
  recipe: EnvironmentRecipe;
  openEgress: OpenEgress | null;
  env: Readonly<Record<string, string>>;
  /** It begins when this resolves. */
  awaitRegistries(): Promise<void>;
  signal: AbortSignal;
  timeMsMax: number;
  /** Told before anything runs in it: its way out goes by this. */
  onSandbox(sandbox: Sandbox): void;
  onProgress(step: string | null, logTail: () => string): void;
  /** Makes room for what was made. @throws SandboxError */
  admit(sizeBytes: number): Promise<void>;
}

/**
 * Makes a layer of the recipe: installs everything in a draft, and keeps it when all went well.
 * @returns the end of its output
 * @throws BuildFailed, BuildStopped
 */
export async function buildLayer(build: LayerBuild): Promise<string> {
  const { layers, openEgress, env } = build;
  const tail = createLogTail();
  try {
    const known = build.awaitRegistries();
    const draft = await layers.draft(build.name, { limits: BUILD_LIMITS, env, openEgress }, build.image);
    try {
      build.onSandbox(draft.sandbox);
      await known;
      await install(draft.sandbox, build, tail);
      await draft.keep(build.signal, build.admit);
      return tail.text();
    } finally {
      await draft.discard();
    }
  } catch (error) {
    if (build.signal.aborted) throw new BuildStopped();
    if (error instanceof SandboxError) throw new BuildFailed(error.message, null, tail.text(), { cause: error });
    throw error;
  }
}

/** @throws BuildFailed, BuildStopped */
async function install(sandbox: Sandbox, build: LayerBuild, tail: ReturnType<typeof createLogTail>): Promise<void> {
  let step: string | null = null;
  const time = AbortSignal.timeout(build.timeMsMax);
  const signal = AbortSignal.any([build.signal, time]);
  const child = await sandbox.exec(["/bin/bash", "--norc", "-c", buildScript(build.recipe), "build"], { signal });
  child.stdin.end();
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    tail.add(chunk);
    build.onProgress(step, tail.text);
  });
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    step = withoutControls(chunk).trim().split("\n").at(-1)?.slice(0, STEP_CHARS_MAX) ?? step;
    build.onProgress(step, tail.text);
  });
  const { code, signal: killedWith, killedBy } = await child.exited;
  if (build.signal.aborted) throw new BuildStopped();
  const what = step === null ? "it" : step;
  const fail = (sentence: string): BuildFailed => new BuildFailed(sentence, step, tail.text());
  if (time.aborted) throw fail(`${what} was not done after ${build.timeMsMax / 60_000} minutes`);
  if (killedBy !== undefined) throw fail(`${what} used more ${killedBy} than a build may`);
  if (code !== 0) throw fail(`${what} failed (${code === null ? killedWith : `status ${code}`})`);
}
