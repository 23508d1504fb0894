import { join } from "node:path";
import { imageArchitecture, type Layers, SandboxError, type SandboxDriver } from "@sandbox0/sandbox";
import type { Registry } from "prom-client";
import type { Blobs } from "../blobs/blobs.ts";
import { createOpenImage } from "../provision/images/open-image.ts";
import { createRegistryFetch } from "../provision/images/registry-fetch.ts";
import type { OpenImage } from "../provision/packages/build-image.ts";
import { createLayerBuilds, type LayerBuilds } from "../provision/packages/layer-builds.ts";
import { readStoreId } from "../provision/packages/store-id.ts";
import type { NodeRegistry } from "../store/node-registry.ts";
import type { Database } from "../store/pool.ts";
import type { Config } from "./config.ts";
import type { Gateways, Outbound } from "./gateways.ts";
import { createLayerMeter } from "./metrics.ts";

export interface PackagesParts {
  config: Config;
  db: Database;
  node: NodeRegistry;
  driver: SandboxDriver;
  gateways: Gateways;
  registry: Registry;
  blobs: Blobs;
  outbound: Pick<Outbound, "fetch">;
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
    openImage: openImageOf(parts),
    env: config.packageMirrors,
    awaitRegistries: gateways.awaitRegistries,
    onProblem: onError,
  });
  builds.start();
  return builds;
}

/** What a registry is asked for goes out as all that the server itself asks for. */
function openImageOf({ config, db, blobs, outbound }: PackagesParts): OpenImage {
  const { defaultRegistry, plainHttp } = config.images;
  const fetch = createRegistryFetch({
    fetch: outbound.fetch as typeof globalThis.fetch,
    plainHttp,
    blockedHosts: config.egressBlockedHosts,
  });
  return createOpenImage({ db: db.reads, blobs, defaultRegistry, plainHttp, architecture: imageArchitecture(), fetch });
}

function noLayers(driver: string): Layers {
  const refuse = async (): Promise<never> => {
    throw new SandboxError("unavailable", `sandboxes of the ${driver} driver cannot be given packages`);
  };
  return { systemKey: refuse, find: refuse, draft: refuse, unpackImage: refuse, list: async () => [], remove: refuse };
}
