import { chmod, mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../pool.ts";
import type { LayerDraft, Layers } from "../port.ts";
import { runCommand } from "../testing/run-command.ts";
import { defaultOwners, openVolumes } from "../volumes.ts";
import { createBubblewrapDriver } from "./driver.ts";

const [GATEWAY_CA = ""] = rootCertificates;
/** Never ends, whatever it is called with. */
const SLEEPER = "printf '#!/bin/sh\\nexec sleep infinity\\n' > /tmp/sleeper && chmod 755 /tmp/sleeper";

let dir: string;
function layersWith(layerCommandMsMax?: number): Layers {
  const options = layerCommandMsMax === undefined ? {} : { layerCommandMsMax };
  const { layers } = createBubblewrapDriver({ dir, egressCa: GATEWAY_CA, ...options });
  if (layers === undefined) throw new Error("no layers");
  return layers;
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-layers-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

async function draftWith(layers: Layers, name: string, script: string): Promise<LayerDraft> {
  const draft = await layers.draft(name, { limits: DEFAULT_LIMITS, env: {}, openEgress: null });
  const { code, stderr } = await runCommand(draft.sandbox, script);
  expect([code, stderr]).toEqual([0, ""]);
  return draft;
}

describe("a layer in which something never ends", { timeout: 120_000 }, () => {
  const stalls = [
    ["the shell of its draft", "mv /tmp/sleeper /usr/bin/bash"],
    ["what a sandbox starts with", "mv /tmp/sleeper /usr/bin/socat"],
  ] as const;
  test.each(stalls)("is not kept: %s", async (_what, script) => {
    const draft = await draftWith(layersWith(5_000), "stalled", `${SLEEPER} && ${script}`);
    await expect(draft.keep()).rejects.toMatchObject({ code: "unavailable", message: expect.stringContaining("5 seconds") });
    expect(await readdir(join(dir, "layers/drafts"))).toEqual([]);
  });

  test("is waited for no longer than anybody wants it", async () => {
    const layers = layersWith();
    const draft = await draftWith(layers, "stopped", `${SLEEPER} && mv /tmp/sleeper /usr/bin/bash`);
    const stop = new AbortController();
    const kept = draft.keep(stop.signal);
    stop.abort();
    await expect(kept).rejects.toBe(stop.signal.reason);
    expect(await layers.find("stopped")).toBeNull();
    expect(await readdir(join(dir, "layers/drafts"))).toEqual([]);
  });
});

test("a layer that a sandbox runs with stays where it is for whoever looks meanwhile", { timeout: 120_000 }, async () => {
  const driver = createBubblewrapDriver({ dir, egressCa: GATEWAY_CA });
  const layers = driver.layers ?? layersWith();
  const volume = await (await openVolumes(join(dir, "sandbox-volumes"), await defaultOwners())).create();
  const layer = await (await draftWith(layers, "used", "touch /opt/made")).keep();
  const equipment = { mounts: [], layers: [layer] };
  const sandbox = await driver.create({ volume, equipment, limits: DEFAULT_LIMITS, env: {}, openEgress: null });
  const kept = join(dir, "layers/kept");
  const before = await stat(kept);
  expect(await layers.remove("used")).toBe(false);
  // Whatever is renamed in there changes it.
  expect((await stat(kept)).mtimeMs).toBe(before.mtimeMs);
  await sandbox.destroy();
});

describe("a layer with a link where something is shown over it", { timeout: 120_000 }, () => {
  const links = [
    ["the shell", "ln -sf $TO/made /usr/bin/bash"],
    ["the directory of the shell", "mv /usr/bin /usr/programs && /usr/programs/ln -s $TO /usr/bin"],
    ["the certificates", "ln -sf $TO/made /etc/ssl/certs/ca-certificates.crt"],
    ["the directory of the certificates", "mv /etc/ssl /etc/tls && ln -s $TO /etc/ssl"],
  ] as const;
  test.each(links)("is not kept, and nothing is made on the host: %s", async (_what, script) => {
    const outside = join(dir, "outside");
    await mkdir(outside, { recursive: true });
    for (const [path, mode] of [[dir, 0o755] as const, [outside, 0o777] as const]) await chmod(path, mode);
    const layers = layersWith();
    // Where the host is for bwrap while it mounts.
    const draft = await draftWith(layers, "linked", script.replace("$TO", `/oldroot${outside}`));
    const kept = draft.keep().then(
      () => null,
      (error: unknown) => error,
    );
    expect(await kept).toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/^no sandbox starts with it: \/\S+ is a link$/),
    });
    expect(await readdir(outside)).toEqual([]);
    expect(await layers.find("linked")).toBeNull();
  });
});
