import { X509Certificate } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createCertificateAuthority } from "./certificate-authority.ts";

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "egress-ca-"));
});
afterEach(() => rm(dir, { recursive: true }));

const DAY_MS = 24 * 60 * 60 * 1000;

test("several servers that begin together agree on one authority, in one file that nobody else may read", async () => {
  const home = join(dir, "data");
  const made = await Promise.all(Array.from({ length: 8 }, () => createCertificateAuthority({ dir: home })));
  const later = await createCertificateAuthority({ dir: home });
  expect(new Set([...made, later].map(({ certificatePem }) => certificatePem)).size).toBe(1);
  const files = await readdir(home);
  expect(files).toHaveLength(1);
  expect((await stat(join(home, files[0] ?? ""))).mode & 0o777).toBe(0o600);
});

test("the root is an authority for long, and its certificate alone is given away", async () => {
  const { certificatePem } = await createCertificateAuthority({ dir });
  const root = new X509Certificate(certificatePem);
  expect(root.ca).toBe(true);
  expect(root.publicKey.asymmetricKeyDetails?.namedCurve).toBe("prime256v1");
  expect(root.validToDate.getTime()).toBeGreaterThan(Date.now() + 10 * 365 * DAY_MS);
  expect(certificatePem).not.toContain("PRIVATE");
});

test("a leaf is for exactly its host, for a short time, signed by the root", async () => {
  const ca = await createCertificateAuthority({ dir });
  const root = new X509Certificate(ca.certificatePem);
  const long = `${"a".repeat(60)}.${"b".repeat(60)}.example.com`;
  for (const host of ["api.example.com", "192.0.2.7", "2001:db8::1", long]) {
    const leaf = new X509Certificate((await ca.leafFor(host)).cert);
    expect(leaf.verify(root.publicKey) && leaf.checkIssued(root)).toBe(true);
    expect(leaf.ca).toBe(false);
    const isAddress = /^[0-9a-f.:]+$/.test(host) && !host.includes("example");
    expect(isAddress ? leaf.checkIP(host) : leaf.checkHost(host)).toBe(host);
    expect(leaf.checkHost(`x.${host}`)).toBeUndefined();
    expect(leaf.validToDate.getTime()).toBeLessThan(Date.now() + 30 * DAY_MS);
  }
});

test("a leaf is made once, anew before it ends, and the oldest unused one is forgotten", async () => {
  let nowMs = Date.now();
  const ca = await createCertificateAuthority({ dir, now: () => nowMs, leavesMax: 2 });
  const first = await ca.leafFor("a.example.com");
  expect(await ca.leafFor("a.example.com")).toBe(first);
  nowMs += 6.5 * DAY_MS;
  const renewed = await ca.leafFor("a.example.com");
  expect(renewed).not.toBe(first);
  const other = await ca.leafFor("b.example.com");
  expect(await ca.leafFor("a.example.com")).toBe(renewed);
  await ca.leafFor("c.example.com");
  expect(await ca.leafFor("a.example.com")).toBe(renewed);
  expect(await ca.leafFor("b.example.com")).not.toBe(other);
});

test("a file that is no authority is refused and left alone, and none of it is told", async () => {
  await createCertificateAuthority({ dir });
  const [file = ""] = await readdir(dir);
  for (const content of ["", "canary", "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n"]) {
    await writeFile(join(dir, file), content);
    const failure = await createCertificateAuthority({ dir }).then(String, String);
    expect(failure).toContain(file);
    expect(failure).not.toMatch(/canary|Y2FuYXJ5/);
    expect(await readFile(join(dir, file), "utf8")).toBe(content);
  }
});
