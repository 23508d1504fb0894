import { chmod, copyFile, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { APT_CONFIG } from "../egress-env.ts";
import { APT_CONFIG_PATH, HOME_DIR } from "../layout.ts";
import { makeDir } from "../make-dir.ts";

/** The user that commands run as, inside; what it is on the host is another number (see `SandboxUser`). */
export const INNER_UID = 1000;
export const INNER_GID = 1000;
export const INNER_HOSTNAME = "sandbox";

/** Mounted from the host when it has them: public, and needed to find programs, fonts and certificates. */
export const SHARED_ETC_DIRS: readonly string[] = [
  "alternatives",
  "ca-certificates",
  "crypto-policies",
  "fonts",
  "pki/ca-trust",
  "pki/tls/certs",
  "ssl/certs",
];

/** Copied from the host when it has them. */
const COPIED_FILES: readonly string[] = [
  "ld.so.cache",
  "localtime",
  "mime.types",
  "os-release",
  "protocols",
  "services",
  "ssl/openssl.cnf",
];

/** Accounts of every sandbox. */
export const ACCOUNT_LINES = {
  passwd: [
    "root:x:0:0:root:/root:/usr/sbin/nologin",
    `agent:x:${INNER_UID}:${INNER_GID}:agent:${HOME_DIR}:/bin/bash`,
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin",
  ],
  group: ["root:x:0:", `agent:x:${INNER_GID}:`, "nogroup:x:65534:"],
} as const;

/** Where names come from, the same in every sandbox. */
export const NAME_FILES: Readonly<Record<string, string>> = {
  hosts: `127.0.0.1 localhost ${INNER_HOSTNAME}\n::1 localhost\n`,
  hostname: `${INNER_HOSTNAME}\n`,
  "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
  "resolv.conf": "",
  [basename(APT_CONFIG_PATH)]: APT_CONFIG,
};

const FILES: Readonly<Record<string, string>> = {
  ...NAME_FILES,
  passwd: `${ACCOUNT_LINES.passwd.join("\n")}\n`,
  group: `${ACCOUNT_LINES.group.join("\n")}\n`,
  "host.conf": "multi on\n",
  profile: 'export PS1="$ "\n',
};

/**
 * Writes the whole of the sandbox's own `/etc`, with a mount point for each of `SHARED_ETC_DIRS`. Idempotent.
 * @param hostEtc where the copied files come from (`/etc`)
 */
export async function writeEtc(dir: string, hostEtc: string): Promise<void> {
  for (const name of ["", "ssl", "pki", "pki/tls", ...SHARED_ETC_DIRS]) makeDir(join(dir, name), 0o755);
  for (const [name, content] of Object.entries(FILES)) {
    await writeFile(join(dir, name), content);
    await chmod(join(dir, name), 0o644);
  }
  for (const name of COPIED_FILES) await ignoring("ENOENT", copyFile(join(hostEtc, name), join(dir, name)));
  await ignoring("EEXIST", symlink("/proc/self/mounts", join(dir, "mtab")));
}

async function ignoring(code: "ENOENT" | "EEXIST", work: Promise<void>): Promise<void> {
  await work.catch((error: NodeJS.ErrnoException) => {
    if (error.code !== code) throw error;
  });
}
