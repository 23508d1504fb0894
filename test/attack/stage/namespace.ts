import { join } from "node:path";
import { STAGE_FILES } from "./inside.ts";

/**
 * Runs inside new network and mount namespaces, as their root. Every address of IPv4 and IPv6 becomes a local one, so that
 * nothing that is sent leaves, and nothing is lost; names are looked up at the pretend Internet's DNS; the machine trusts its
 * certificate authority.
 */
const SCRIPT = `
set -e
dir="$1"
shift
ip link set lo up
ip route add local 0.0.0.0/0 dev lo
ip -6 route add local ::/0 dev lo
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
# Of a user namespace, only the groups that it has.
(echo '0 2147483647' >/proc/sys/net/ipv4/ping_group_range) 2>/dev/null || echo '0 0' >/proc/sys/net/ipv4/ping_group_range
mount --bind "$dir/${STAGE_FILES.resolvConf}" /etc/resolv.conf
if [ -d /etc/apt/sources.list.d ]; then mount --bind "$dir/${STAGE_FILES.aptSources}" /etc/apt/sources.list.d; fi
if [ -e /etc/apt/sources.list ]; then mount --bind /dev/null /etc/apt/sources.list; fi
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then mount --bind "$dir/${STAGE_FILES.bundle}" /etc/ssl/certs/ca-certificates.crt; fi
exec "$@"
`;

/** The command that starts `program` in the namespace of the pretend Internet, as the user that runs the tests. */
export function inNamespace(dir: string, program: readonly string[]): { file: string; args: string[] } {
  const uid = process.getuid?.() ?? 0;
  const gid = process.getgid?.() ?? 0;
  const script = ["sh", "-c", SCRIPT, "sh", dir];
  const namespaces = ["--net", "--mount", "--propagation", "private"];
  if (uid === 0) return { file: "unshare", args: [...namespaces, ...script, ...program] };
  // As root of a user namespace for the set-up; then in one more, as nobody in particular again.
  const asUser = ["unshare", "--user", `--map-user=${uid}`, `--map-group=${gid}`];
  return { file: "unshare", args: ["--user", "--map-root-user", ...namespaces, ...script, ...asUser, ...program] };
}

/** Files of the machine that the set-up covers. */
export const stagePath = (dir: string, name: keyof typeof STAGE_FILES): string => join(dir, STAGE_FILES[name]);
