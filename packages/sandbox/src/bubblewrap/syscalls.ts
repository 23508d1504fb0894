/**
 * System calls that no command in a sandbox may make, with their numbers. Most of them need a capability that the
 * sandbox does not have anyway: the filter is the second wall, for the day the first has a hole, and it keeps kernel
 * code that is rarely needed and often broken (io_uring, userfaultfd, bpf, keyrings) out of reach.
 */
export interface DeniedSyscall {
  name: string;
  /** `null`: the architecture does not have the call. */
  x64: number | null;
  arm64: number | null;
  /** `ENOSYS` where programs fall back to an older call; `EPERM` is the default. */
  errno?: "ENOSYS";
}

export const DENIED_SYSCALLS: readonly DeniedSyscall[] = [
  // Mounts and namespaces.
  { name: "mount", x64: 165, arm64: 40 },
  { name: "umount2", x64: 166, arm64: 39 },
  { name: "pivot_root", x64: 155, arm64: 41 },
  { name: "chroot", x64: 161, arm64: 51 },
  { name: "setns", x64: 308, arm64: 268 },
  { name: "unshare", x64: 272, arm64: 97 },
  { name: "open_tree", x64: 428, arm64: 428 },
  { name: "move_mount", x64: 429, arm64: 429 },
  { name: "fsopen", x64: 430, arm64: 430 },
  { name: "fsconfig", x64: 431, arm64: 431 },
  { name: "fsmount", x64: 432, arm64: 432 },
  { name: "fspick", x64: 433, arm64: 433 },
  { name: "mount_setattr", x64: 442, arm64: 442 },
  // The filter cannot look into clone3's argument block; libc falls back to clone, whose flags it can read.
  { name: "clone3", x64: 435, arm64: 435, errno: "ENOSYS" },
  // Other processes' memory and descriptors.
  { name: "ptrace", x64: 101, arm64: 117 },
  { name: "process_vm_readv", x64: 310, arm64: 270 },
  { name: "process_vm_writev", x64: 311, arm64: 271 },
  { name: "process_madvise", x64: 440, arm64: 440 },
  { name: "pidfd_getfd", x64: 438, arm64: 438 },
  { name: "kcmp", x64: 312, arm64: 272 },
  // Kernel code and its debugging doors.
  { name: "bpf", x64: 321, arm64: 280 },
  { name: "perf_event_open", x64: 298, arm64: 241 },
  { name: "init_module", x64: 175, arm64: 105 },
  { name: "finit_module", x64: 313, arm64: 273 },
  { name: "delete_module", x64: 176, arm64: 106 },
  { name: "create_module", x64: 174, arm64: null },
  { name: "get_kernel_syms", x64: 177, arm64: null },
  { name: "query_module", x64: 178, arm64: null },
  { name: "kexec_load", x64: 246, arm64: 104 },
  { name: "kexec_file_load", x64: 320, arm64: 294 },
  { name: "lookup_dcookie", x64: 212, arm64: 18 },
  { name: "syslog", x64: 103, arm64: 116 },
  // Keyrings are not namespaced.
  { name: "add_key", x64: 248, arm64: 217 },
  { name: "request_key", x64: 249, arm64: 218 },
  { name: "keyctl", x64: 250, arm64: 219 },
  // Fallbacks exist, and these have been the way out of many sandboxes.
  { name: "io_uring_setup", x64: 425, arm64: 425, errno: "ENOSYS" },
  { name: "io_uring_enter", x64: 426, arm64: 426, errno: "ENOSYS" },
  { name: "io_uring_register", x64: 427, arm64: 427, errno: "ENOSYS" },
  { name: "userfaultfd", x64: 323, arm64: 282 },
  { name: "memfd_secret", x64: 447, arm64: 447 },
  // Files by handle go around mounts; fanotify watches whole mounts.
  { name: "name_to_handle_at", x64: 303, arm64: 264 },
  { name: "open_by_handle_at", x64: 304, arm64: 265 },
  { name: "fanotify_init", x64: 300, arm64: 262 },
  { name: "fanotify_mark", x64: 301, arm64: 263 },
  // The machine itself.
  { name: "reboot", x64: 169, arm64: 142 },
  { name: "swapon", x64: 167, arm64: 224 },
  { name: "swapoff", x64: 168, arm64: 225 },
  { name: "acct", x64: 163, arm64: 89 },
  { name: "quotactl", x64: 179, arm64: 60 },
  { name: "quotactl_fd", x64: 443, arm64: 443 },
  { name: "settimeofday", x64: 164, arm64: 170 },
  { name: "clock_settime", x64: 227, arm64: 112 },
  { name: "clock_adjtime", x64: 305, arm64: 266 },
  { name: "adjtimex", x64: 159, arm64: 171 },
  { name: "sethostname", x64: 170, arm64: 161 },
  { name: "setdomainname", x64: 171, arm64: 162 },
  { name: "vhangup", x64: 153, arm64: 58 },
  { name: "iopl", x64: 172, arm64: null },
  { name: "ioperm", x64: 173, arm64: null },
  { name: "modify_ldt", x64: 154, arm64: null },
  { name: "move_pages", x64: 279, arm64: 239 },
  { name: "migrate_pages", x64: 256, arm64: 238 },
  // Obsolete.
  { name: "nfsservctl", x64: 180, arm64: 42 },
  { name: "uselib", x64: 134, arm64: null },
  { name: "ustat", x64: 136, arm64: null },
  { name: "sysfs", x64: 139, arm64: null },
  { name: "_sysctl", x64: 156, arm64: null },
];
