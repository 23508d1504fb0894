import { randomBytes } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { toFile } from "@anthropic-ai/sdk";
import { imageArchive } from "@sandbox0/sandbox/testing";
import { until } from "@sandbox0/testkit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ServerProcess } from "./server-process.ts";
import { createStage, type Stage } from "./stage.ts";

const ENVIRONMENT = { SANDBOX0_SANDBOX: "bubblewrap", SANDBOX0_WARM_SANDBOXES: "0" };
const BUILD_TIMEOUT_MS = 300_000;
const TEST_TIMEOUT_MS = 600_000;
/** So many that a server is killed before the last one, also where it is heard of late. */
const NOISE_LAYERS = 8;
/** How often what was too late is played again. */
const PLAYS_MAX = 5;

interface Build {
  state: string;
  step: string | null;
  log_tail: string;
}

let stage: Stage;
beforeAll(async () => {
  stage = await createStage();
});
afterAll(() => stage.close());

const layers = (name: string): string => join(stage.dataDir, "sandbox/layers", name);
/** What a setup of this stage waits for. */
async function letGoOn(): Promise<void> {
  // It may not be there yet, or no more.
  for (const draft of await readdir(layers("volumes/volumes")))
    await writeFile(join(layers("volumes/volumes"), draft, "workspace/go"), "").catch(() => undefined);
}

/** Finished ones; at first not even their directory is there. */
const kept = (): Promise<string[]> => readdir(layers("kept")).catch(() => []);
const start = (): Promise<ServerProcess> => stage.startServer({ environment: ENVIRONMENT });

async function buildOf(server: ServerProcess, environmentId: string): Promise<Build> {
  return stage.client(server).get(`/sandbox0/v1/environments/${environmentId}/build`);
}

/** Nothing half is there, and nothing of it is left when it has been built after all. */
async function expectWhole(): Promise<void> {
  await until(
    async () => (await readdir(layers("drafts"))).length === 0 && (await readdir(layers("volumes/volumes"))).length === 0,
    {
      timeoutMs: BUILD_TIMEOUT_MS,
      describe: async () => [await readdir(layers("drafts")), await readdir(layers("volumes/volumes"))],
    },
  );
  expect(await readFile("/proc/mounts", "utf8")).not.toContain(stage.dataDir);
}

/** When to kill the server; what it installs waits for a word that the first server's never gets. */
const MOMENTS: Record<string, (build: Build) => boolean> = {
  "as soon as it builds": ({ state }) => state === "building",
  "while it installs": ({ step }) => step === "setup",
  "near its end": ({ log_tail }) => log_tail.includes("nearly"),
};

async function expectNoise(layer = ""): Promise<void> {
  const names = await readdir(join(layers("kept"), layer, "root/usr"));
  expect(names.filter((name) => name.startsWith("noise"))).toHaveLength(NOISE_LAYERS);
}

/** A server that is killed while it unpacks an image, with the layers that were kept before and after. */
async function cutImage(): Promise<{ id: string; before: string[]; after: string[] }> {
  const server = await start();
  const client = stage.client(server);
  // Noise, so that it takes its time.
  const noise = Array.from({ length: NOISE_LAYERS }, (_, index) => [
    { name: `usr/noise-${index}`, content: randomBytes(24 * 1024 ** 2) },
  ]);
  const archive = await toFile(await imageArchive({ layers: noise, compression: "gzip" }), "image.tar");
  const file = await client.files.upload({ file: archive });
  const before = await kept();
  const { id } = await client.beta.environments.create({ name: "image", metadata: { "sandbox0.image": file.id } });
  await until(async () => (await buildOf(server, id)).log_tail.includes("image"), { timeoutMs: BUILD_TIMEOUT_MS });
  await server.kill();
  return { id, before, after: await kept() };
}

describe("a server that is killed while it prepares an environment", { timeout: TEST_TIMEOUT_MS }, () => {
  test.each(Object.entries(MOMENTS))("%s: there is no layer, and the next start builds it", async (name, isNow) => {
    const first = await start();
    const wait = "until [ -e /workspace/go ]; do sleep 0.05; done";
    const setup = `echo ${name} >/etc/made; head -c 50M /dev/zero >/opt/large; echo nearly; ${wait}`;
    const { id } = await stage.client(first).beta.environments.create({ name, metadata: { "sandbox0.setup": setup } });
    await until(async () => isNow(await buildOf(first, id)), { timeoutMs: BUILD_TIMEOUT_MS });
    const before = await kept();
    await first.kill();
    expect(await kept()).toEqual(before);
    const second = await start();
    const isReady = async (): Promise<boolean> => {
      await letGoOn();
      return (await buildOf(second, id)).state === "ready";
    };
    await until(isReady, { timeoutMs: BUILD_TIMEOUT_MS });
    const made = (await kept()).filter((layer) => !before.includes(layer));
    expect(made).toHaveLength(1);
    expect(await readFile(join(layers("kept"), made[0] ?? "", "etc/made"), "utf8")).toBe(`${name}\n`);
    await expectWhole();
    await second.kill();
  });

  test("while it unpacks an image: there is none, and the next start unpacks it", async () => {
    let cut = await cutImage();
    for (let plays = 1; cut.after.length > cut.before.length && plays < PLAYS_MAX; plays += 1) {
      // It was heard of so late that it had been unpacked: then all of it is there.
      await expectNoise(cut.after.find((layer) => !cut.before.includes(layer)));
      cut = await cutImage();
    }
    const { id, before } = cut;
    expect(cut.after).toEqual(before);
    const second = await start();
    await until(async () => (await buildOf(second, id)).state === "ready", { timeoutMs: BUILD_TIMEOUT_MS });
    const made = (await kept()).filter((layer) => !before.includes(layer));
    expect(made).toHaveLength(1);
    await expectNoise(made[0]);
    await expectWhole();
    await second.kill();
  });
});
