/** A system call that takes more than one user, and succeeds without effect where there is only one. */
export interface PretendedSyscall {
  name: string;
  /** `null`: the architecture does not have the call. */
  x64: number | null;
  arm64: number | null;
  /** Only for devices: which argument is the mode. */
  modeArgument?: number;
}

export const PRETENDED_SYSCALLS: readonly PretendedSyscall[] = [
  { name: "chown", x64: 92, arm64: null },
  { name: "fchown", x64: 93, arm64: 55 },
  { name: "lchown", x64: 94, arm64: null },
  { name: "fchownat", x64: 260, arm64: 54 },
  { name: "setuid", x64: 105, arm64: 146 },
  { name: "setgid", x64: 106, arm64: 144 },
  { name: "setreuid", x64: 113, arm64: 145 },
  { name: "setregid", x64: 114, arm64: 143 },
  { name: "setresuid", x64: 117, arm64: 147 },
  { name: "setresgid", x64: 119, arm64: 149 },
  { name: "setfsuid", x64: 122, arm64: 151 },
  { name: "setfsgid", x64: 123, arm64: 152 },
  { name: "setgroups", x64: 116, arm64: 159 },
  { name: "capset", x64: 126, arm64: 91 },
  { name: "mknod", x64: 133, arm64: null, modeArgument: 1 },
  { name: "mknodat", x64: 259, arm64: 33, modeArgument: 2 },
];
