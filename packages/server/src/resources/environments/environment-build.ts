import type { EnvironmentBuild } from "@sandbox0/protocol";
import type { EnvironmentRecord } from "../../store/environments.ts";
import { type EnvironmentRecipe, recipeOf } from "./environment-recipe.ts";
import { type BuildRow, readBestBuild } from "../../store/environment-builds.ts";
import type { Queryable } from "../../store/query.ts";

/** Of several servers with data directories of their own, the one that is furthest. */
export async function environmentBuildOf(
  db: Queryable,
  workspaceId: string,
  environment: EnvironmentRecord,
): Promise<EnvironmentBuild> {
  const recipe = recipeOf(workspaceId, environment);
  const row = recipe === null ? null : await readRow(db, recipe);
  return {
    type: "environment_build",
    environment_id: environment.id,
    // Nobody has asked for it yet, or it was removed for not being used: its first session will.
    state: recipe === null ? "ready" : (row?.state ?? "queued"),
    step: row?.step ?? null,
    error: row?.error ?? null,
    started_at: row?.startedAt?.toISOString() ?? null,
    finished_at: row?.finishedAt?.toISOString() ?? null,
    retry_at: row?.notBefore?.toISOString() ?? null,
    log_tail: row?.logTail ?? "",
  };
}

/** What is installed over an image waits for that: until then it is as far as the image is. */
async function readRow(db: Queryable, { id, base }: EnvironmentRecipe): Promise<BuildRow | null> {
  const row = await readBestBuild(db, id);
  if (base === null || (row !== null && row.state !== "queued")) return row;
  const below = await readBestBuild(db, base.id);
  return below === null || below.state === "ready" ? row : below;
}
