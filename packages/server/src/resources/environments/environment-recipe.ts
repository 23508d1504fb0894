import { createHash } from "node:crypto";
import {
  type EnvironmentConfig,
  type Metadata,
  PACKAGE_MANAGERS,
  type PackageManager,
  type Networking,
} from "@sandbox0/protocol";
import { IMAGE_KEY } from "./environment-image.ts";

/** An extension of ours: shell commands of an environment, run behind its packages (design §2.9 keeps the official surface pure). */
export const SETUP_KEY = "sandbox0.setup";
const ID_CHARS = 32;

/** What the sandboxes of an environment are prepared with. */
export interface EnvironmentRecipe {
  /** The same for the same recipe in the same workspace: environments share what is made from it. */
  id: string;
  /** That it is made from, and from nothing else; `null`: it is made by installing. */
  image: string | null;
  /** The recipe of the image that this one's packages are installed over; `null`: over this machine's system, or it is one. */
  base: EnvironmentRecipe | null;
  /** In the order in which they are installed; only managers that have something to install. */
  packages: readonly { manager: PackageManager; specs: readonly string[] }[];
  /** A bash script; `null`: none. */
  setup: string | null;
}

/** `null`: there is nothing to prepare. */
export function recipeOf(
  workspaceId: string,
  environment: { config: EnvironmentConfig; metadata: Readonly<Metadata> },
): EnvironmentRecipe | null {
  const { config, metadata } = environment;
  if (config.type !== "cloud") return null;
  const packages = PACKAGE_MANAGERS.map((manager) => ({ manager, specs: config.packages[manager] })).filter(
    ({ specs }) => specs.length > 0,
  );
  const setup = metadata[SETUP_KEY]?.trim() || null;
  const base = imageRecipe(workspaceId, metadata);
  if (packages.length === 0 && setup === null) return base;
  // Registries give everybody the same; what a setup script fetches depends on where it may go.
  const reach: Networking | null = setup === null ? null : config.networking;
  const facts = [workspaceId, packages, setup, reach, ...(base === null ? [] : [base.id])];
  return { id: idOf(facts), image: null, base, packages, setup };
}

function imageRecipe(workspaceId: string, metadata: Readonly<Metadata>): EnvironmentRecipe | null {
  const image = metadata[IMAGE_KEY]?.trim() || null;
  return image === null ? null : { id: idOf([workspaceId, "image", image]), image, base: null, packages: [], setup: null };
}

function idOf(facts: readonly unknown[]): string {
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex").slice(0, ID_CHARS);
}
