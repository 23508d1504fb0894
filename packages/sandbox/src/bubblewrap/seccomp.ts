import { DENIED_SYSCALLS } from "./syscalls.ts";
import { PRETENDED_SYSCALLS } from "./pretended-syscalls.ts";

/** Processors that the filter knows; on any other one the driver is not available. */
export type SeccompArch = "x64" | "arm64";

interface ArchFacts {
  /** AUDIT_ARCH_* of linux/audit.h. */
  auditArch: number;
  clone: number;
  socket: number;
  ioctl: number;
}

const ARCHES: Readonly<Record<SeccompArch, ArchFacts>> = {
  x64: { auditArch: 0xc000003e, clone: 56, socket: 41, ioctl: 16 },
  arm64: { auditArch: 0xc00000b7, clone: 220, socket: 198, ioctl: 29 },
};

/** The newest call that was looked at (mseal, Linux 6.10). Later ones do not exist for the sandbox. */
const NEWEST_SYSCALL = 462;
/** Calls of the x32 ABI have this bit. */
const X32_SYSCALL_BIT = 0x40000000;

/** Every CLONE_NEW* flag that `clone` takes; CLONE_NEWTIME shares its bit with the exit signal and is for unshare only. */
const CLONE_NEW_FLAGS = 0x7e020000;

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const NETLINK_ROUTE = 0;
/** Puts characters into a terminal as if they were typed. */
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;

/** Set in a mode of `mknod` that makes a device. */
const DEVICE_MODE_BIT = 0x2000;

const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

const RET_KILL_PROCESS = 0x80000000;
const RET_ALLOW = 0x7fff0000;
const retErrno = (errno: number): number => 0x00050000 | errno;

/** Offsets into `struct seccomp_data`. */
const OFFSET_NR = 0;
const OFFSET_ARCH = 4;
/** Low half of an argument: both processors are little-endian. */
const offsetArg = (index: number): number => 16 + 8 * index;

/** One `struct sock_filter`: code, jump if true, jump if false, operand. */
type Instruction = readonly [code: number, jt: number, jf: number, k: number];

const load = (offset: number): Instruction => [0x20, 0, 0, offset];
const ret = (value: number): Instruction => [0x06, 0, 0, value];
const jumpIfEqual = (k: number, jt: number, jf: number): Instruction => [0x15, jt, jf, k];
const jumpIfAbove = (k: number, jt: number, jf: number): Instruction => [0x25, jt, jf, k];
const jumpIfAnyBit = (k: number, jt: number, jf: number): Instruction => [0x45, jt, jf, k];

/**
 * The program for `bwrap --seccomp`: an array of `struct sock_filter`. A foreign architecture (32-bit calls on a
 * 64-bit kernel) kills the process, because its numbers mean something else.
 * @param options `pretendsRoot`: giving files and processes to other users succeeds and does nothing. Package managers do it,
 * and a sandbox has one user; what they make is its own either way.
 */
export function seccompFilter(arch: SeccompArch, options: { pretendsRoot?: boolean } = {}): Buffer {
  const facts = ARCHES[arch];
  return encode([
    load(OFFSET_ARCH),
    jumpIfEqual(facts.auditArch, 1, 0),
    ret(RET_KILL_PROCESS),
    load(OFFSET_NR),
    jumpIfAbove(X32_SYSCALL_BIT - 1, 0, 1),
    ret(retErrno(ENOSYS)),
    jumpIfAbove(NEWEST_SYSCALL, 0, 1),
    ret(retErrno(ENOSYS)),
    ...deniedCalls(arch),
    ...(options.pretendsRoot === true ? pretendedCalls(arch) : []),
    ...section(facts.clone, [load(offsetArg(0)), jumpIfAnyBit(CLONE_NEW_FLAGS, 0, 1), ret(retErrno(EPERM))]),
    ...section(facts.ioctl, [load(offsetArg(1)), jumpIfEqual(TIOCSTI, 1, 0), jumpIfEqual(TIOCLINUX, 0, 1), ret(retErrno(EPERM))]),
    ...section(facts.socket, socketFamilies()),
    ret(RET_ALLOW),
  ]);
}

function deniedCalls(arch: SeccompArch): Instruction[] {
  return DENIED_SYSCALLS.flatMap((call) => {
    const number = call[arch];
    if (number === null) return [];
    return [jumpIfEqual(number, 0, 1), ret(retErrno(call.errno === "ENOSYS" ? ENOSYS : EPERM))];
  });
}

function pretendedCalls(arch: SeccompArch): Instruction[] {
  return PRETENDED_SYSCALLS.flatMap((call) => {
    const number = call[arch];
    if (number === null) return [];
    if (call.modeArgument === undefined) return [jumpIfEqual(number, 0, 1), ret(retErrno(0))];
    return section(number, [load(offsetArg(call.modeArgument)), jumpIfAnyBit(DEVICE_MODE_BIT, 0, 1), ret(retErrno(0))]);
  });
}

/** Runs `body` for one call only. It ends in an allow: the accumulator no longer holds the call's number. */
function section(number: number, body: readonly Instruction[]): Instruction[] {
  return [jumpIfEqual(number, 0, body.length + 1), ...body, ret(RET_ALLOW)];
}

/** Local, IPv4, IPv6 and route netlink (libc looks at its addresses with it); vsock, packet, alg and the rest are shut. */
function socketFamilies(): Instruction[] {
  return [
    load(offsetArg(0)),
    jumpIfEqual(AF_UNIX, 6, 0),
    jumpIfEqual(AF_INET, 5, 0),
    jumpIfEqual(AF_INET6, 4, 0),
    jumpIfEqual(AF_NETLINK, 0, 2),
    load(offsetArg(2)),
    jumpIfEqual(NETLINK_ROUTE, 1, 0),
    ret(retErrno(EAFNOSUPPORT)),
  ];
}

function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  for (const [index, [code, jt, jf, k]] of program.entries()) {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(jt, index * 8 + 2);
    bytes.writeUInt8(jf, index * 8 + 3);
    bytes.writeUInt32LE(k >>> 0, index * 8 + 4);
  }
  return bytes;
}
