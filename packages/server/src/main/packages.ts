import { join } from "node:path";
import { type Layers, SandboxError, type SandboxDriver } from "@sandbox0/sandbox";
import type { Registry } from "prom-client";
import { createLayerBuilds, type LayerBuilds } from "../provision/packages/layer-builds.ts";
import { readStoreId } from "../provision/packages/store-id.ts";
import type { NodeRegistry } from "../store/node-registry.ts";
import type { Database } from "../store/pool.ts";
import type { Config } from "./config.ts";
import type { Gateways } from "./gateways.ts";
import { createLayerMeter } from "./metrics.ts";

export interface PackagesParts {
  config: Config;
  db: Database;
  node: NodeRegistry;
  driver: SandboxDriver;
  gateways: Gateways;
  registry: Registry;
  onError(error: unknown): void;
}

/** Builds what environments are prepared with. Its close stops what is being built. */
export async function openPackages(parts: PackagesParts): Promise<LayerBuilds> {
  const { config, db, node, driver, gateways, registry, onError } = parts;
  const layers = driver.layers ?? noLayers(driver.name);
  const builds = createLayerBuilds({
    db,
    node,
    layers,
    meter: createLayerMeter(registry, layers),
    storeId: await readStoreId(join(config.dataDir, "sandbox", "store-id")),
    openEgress: gateways.egress?.open ?? null,
    env: config.packageMirrors,
    awaitRegistries: gateways.awaitRegistries,
    onProblem: onError,
  });
  builds.start();
  return builds;
}

function noLayers(driver: string): Layers {
  const refuse = async (): Promise<never> => {
    throw new SandboxError("unavailable", `sandboxes of the ${driver} driver cannot be given packages`);
  };
  return { systemKey: refuse, find: refuse, draft: refuse, list: async () => [], remove: refuse };
}
