import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";

const UNIT = "packaging/systemd/sandbox0.service";
/** Older systemds do not know it, and ignore it; the unit says so. */
const NEWER_KEYS = /Unknown key '?DelegateSubgroup'?.*ignoring/;
const EXPOSURE_MAX = 4;

const systemdAnalyze = (...args: string[]) => spawnSync("systemd-analyze", args, { encoding: "utf8" });
const hasSystemd = systemdAnalyze("--version").status === 0;

test.skipIf(!hasSystemd)("systemd finds nothing to say against the unit, and little that it leaves open", () => {
  const folder = mkdtempSync(join(tmpdir(), "sandbox0-unit-"));
  try {
    // The program is not installed here; everything else is as it is.
    const unit = join(folder, "sandbox0.service");
    writeFileSync(unit, readFileSync(UNIT, "utf8").replace(/^ExecStart=.*/m, "ExecStart=/bin/true"));
    const { stdout, stderr } = systemdAnalyze("verify", "--man=no", unit);
    const complaints = (stdout + stderr).split("\n").filter((line) => line !== "" && !NEWER_KEYS.test(line));
    expect(complaints).toEqual([]);
    const report = systemdAnalyze("security", "--offline=yes", "--no-pager", unit).stdout;
    expect(Number(/exposure level for sandbox0\.service: (\d+\.\d+)/.exec(report)?.[1])).toBeLessThan(EXPOSURE_MAX);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
