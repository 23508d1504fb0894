import { expect, test } from "vitest";
import { startFix } from "./start-fix.ts";

/** The first four were seen, with one wall at a time; the next two are what bubblewrap says where a security module refuses. */
test.each([
  ["bwrap: Creating new namespace failed: Function not implemented", "seccomp=packaging/docker/seccomp.json"],
  ["bwrap: No permissions to create new namespace, likely because the kernel does not allow …", "no RestrictNamespaces"],
  ["bwrap: Can't set hostname to sandbox: Operation not permitted", "seccomp=packaging/docker/seccomp.json"],
  ["bwrap: Can't mount proc on /newroot/proc: Operation not permitted", "systempaths=unconfined"],
  ["bwrap: Failed to make / slave: Permission denied", "apparmor=unconfined"],
  ["bwrap: setting up uid map: Permission denied", "apparmor_restrict_unprivileged_userns"],
  ["status 1", "something that bubblewrap needs"],
])("%s", (complaint, fix) => {
  expect(startFix(complaint)).toContain(fix);
  expect(startFix(complaint)).toContain("docs/deploy.md");
});
