/** What forbade a sandbox to start, by bubblewrap's complaint, and who can allow it. The first that matches. */
const FIXES: readonly (readonly [complaint: RegExp, fix: string])[] = [
  [
    /Can't mount proc/,
    "a part of /proc is hidden or read-only, and then the kernel lets no user mount another: in a container, " +
      "--security-opt systempaths=unconfined (Podman: unmask=ALL; Kubernetes: procMount: Unmasked); in a unit of systemd, " +
      "no ProtectKernelTunables, ProtectKernelLogs and ProcSubset",
  ],
  [
    /make \/ slave|Failed to mount|mount .*Permission denied|pivot_root/,
    "mounting is forbidden: in a container, --security-opt apparmor=unconfined (SELinux: label=disable)",
  ],
  [
    /uid map|RTM_NEWADDR/,
    "user namespaces get no rights here (Ubuntu: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or a profile for bwrap)",
  ],
  [
    /namespace|unshare|hostname/,
    "making namespaces is forbidden: in a container, --security-opt seccomp=packaging/docker/seccomp.json (or " +
      "unconfined); in a unit of systemd, no RestrictNamespaces",
  ],
];
const ANY_FIX =
  "the machine, or the container's runtime, forbids something that bubblewrap needs: user namespaces, mounts, a /proc of its own";

/** @returns a sentence for `sandbox0 doctor` */
export function startFix(complaint: string): string {
  const [, fix = ANY_FIX] = FIXES.find(([pattern]) => pattern.test(complaint)) ?? [];
  return `${fix}; see docs/deploy.md#a-container`;
}
