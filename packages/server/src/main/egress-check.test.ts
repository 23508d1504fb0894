import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCertificateAuthority } from "@sandbox0/egress";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkEgressGateway, checkOpenFiles } from "./egress-check.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "sandbox0-egress-check-"));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

test("the gateway can start over nothing, and over an authority; looking makes nothing", async () => {
  const dataDir = join(dir, "not", "there", "yet");
  expect(await checkEgressGateway(dataDir)).toMatchObject({ ok: true, detail: expect.stringContaining("first start") });
  expect(await readdir(dir)).toEqual([]);
  await createCertificateAuthority({ dir: join(dir, "egress") });
  expect(await checkEgressGateway(dir)).toMatchObject({ ok: true, detail: expect.stringContaining("can be read") });
});

test("an authority that is none, or a directory that cannot be one, is said before the start", async () => {
  await mkdir(join(dir, "egress"));
  await writeFile(join(dir, "egress", "egress-ca.pem"), "canary");
  const broken = await checkEgressGateway(dir);
  expect(broken).toMatchObject({ ok: false, fix: expect.stringContaining("no way out") });
  expect(broken.detail).not.toContain("canary");
  const file = join(dir, "file");
  await writeFile(file, "");
  expect(await checkEgressGateway(file)).toMatchObject({ ok: false });
});

test("few open files are advice", () => {
  expect(checkOpenFiles(1_024)).toMatchObject({ ok: false, fix: expect.stringContaining("16384") });
  expect(checkOpenFiles(16_384)).toMatchObject({ ok: true });
  expect(checkOpenFiles().detail).toMatch(/at most (\d+|Infinity)/);
});
