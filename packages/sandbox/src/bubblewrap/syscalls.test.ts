import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createBubblewrapDriver } from "./driver.ts";
import { seccompArch } from "./host.ts";
import { seccompFilter } from "./seccomp.ts";
import { DENIED_SYSCALLS } from "./syscalls.ts";
import { DEFAULT_LIMITS } from "../pool.ts";
import type { Sandbox } from "../port.ts";
import { runCommand } from "../testing/run-command.ts";
import { defaultOwners, openVolumes } from "../volumes.ts";

const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;
const NUMBERS = { x64: { clone: 56, ioctl: 16 }, arm64: { clone: 220, ioctl: 29 } };
const CLONE_NEW_FLAGS = {
  ns: 0x20000,
  cgroup: 0x2000000,
  uts: 0x4000000,
  ipc: 0x8000000,
  user: 0x10000000,
  pid: 0x20000000,
  net: 0x40000000,
};
const SIGCHLD = 17;
const [TIOCSTI, TIOCLINUX] = [0x5412, 0x541c];

const arch = seccompArch() ?? "x64";
const dir = mkdtempSync(join(tmpdir(), "sandbox0-syscalls-"));
let sandbox: Sandbox;

beforeAll(async () => {
  const volumes = await openVolumes(dir, await defaultOwners());
  const volume = await volumes.create();
  sandbox = await createBubblewrapDriver({ dir }).create({ volume, limits: DEFAULT_LIMITS, env: {}, openEgress: null });
});

afterAll(async () => {
  await sandbox.destroy();
  await rm(dir, { recursive: true, force: true });
});

/** Each expression runs in a process of its own, in perl, which can make any call. @returns the error number, 0 for success */
async function errnoOf(expression: string): Promise<number> {
  const { stdout } = await runCommand(
    sandbox,
    `exec perl -e '$! = 0; my $r = ${expression}; print(defined $r && $r != -1 && $r ? 0 : $!+0)'`,
  );
  return Number(stdout);
}

describe("system calls from inside", () => {
  for (const call of DENIED_SYSCALLS) {
    const number = call[arch];
    test.skipIf(number === null)(`${call.name} is refused`, async () => {
      expect(await errnoOf(`syscall(${number}, 0, 0, 0, 0, 0)`)).toBe(call.errno === "ENOSYS" ? ENOSYS : EPERM);
    });
  }

  for (const [name, flag] of Object.entries(CLONE_NEW_FLAGS)) {
    test(`clone into a new ${name} namespace is refused`, async () => {
      expect(await errnoOf(`syscall(${NUMBERS[arch].clone}, ${flag | SIGCHLD}, 0, 0, 0, 0)`)).toBe(EPERM);
    });
  }

  test("calls that are newer than the filter do not exist", async () => {
    for (const number of [463, 500, 1023, 0x40000000 + 39]) expect(await errnoOf(`syscall(${number}, 0, 0, 0)`)).toBe(ENOSYS);
  });

  test("nothing can be typed into a terminal", async () => {
    for (const request of [TIOCSTI, TIOCLINUX]) {
      expect(await errnoOf(`syscall(${NUMBERS[arch].ioctl}, 0, ${request}, 0)`)).toBe(EPERM);
    }
  });

  test("only local, IP and route sockets can be made", async () => {
    const [UNIX, INET, AX25, INET6, NETLINK, PACKET, ALG, VSOCK, XDP] = [1, 2, 3, 10, 16, 17, 38, 40, 44];
    const [STREAM, DGRAM, RAW] = [1, 2, 3];
    for (const [family, type, protocol] of [
      [UNIX, STREAM, 0],
      [INET, STREAM, 0],
      [INET6, DGRAM, 0],
      [NETLINK, RAW, 0],
    ]) {
      expect(await errnoOf(`socket(my $s, ${family}, ${type}, ${protocol})`)).toBe(0);
    }
    for (const [family, type, protocol] of [
      [AX25, DGRAM, 0],
      [NETLINK, RAW, 12],
      [PACKET, RAW, 0],
      [ALG, 5, 0],
      [VSOCK, STREAM, 0],
      [XDP, RAW, 0],
    ]) {
      expect(await errnoOf(`socket(my $s, ${family}, ${type}, ${protocol})`)).toBe(EAFNOSUPPORT);
    }
  });
});

describe("the filter's program", () => {
  const PROGRAM_INSTRUCTIONS_MAX = 4096;
  const INSTRUCTION_BYTES = 8;
  const [LOAD, JUMP_EQUAL, JUMP_ABOVE, JUMP_BITS, RETURN] = [0x20, 0x15, 0x25, 0x45, 0x06];
  const [KILL, ALLOW] = [0x80000000, 0x7fff0000];
  const refuse = (errno: number): number => 0x50000 | errno;

  /** What the kernel does with the program. */
  function evaluate(program: Buffer, auditArch: number, number: number, args: readonly number[] = []): number {
    const memory = new Map([[0, number], [4, auditArch], ...args.map((arg, index) => [16 + 8 * index, arg] as [number, number])]);
    let accumulator = 0;
    for (let at = 0; at < program.length / INSTRUCTION_BYTES; at++) {
      const [code, jt, jf, k] = [
        program.readUInt16LE(at * 8),
        program.readUInt8(at * 8 + 2),
        program.readUInt8(at * 8 + 3),
        program.readUInt32LE(at * 8 + 4),
      ];
      if (code === LOAD) accumulator = memory.get(k) ?? 0;
      else if (code === RETURN) return k;
      else if (code === JUMP_EQUAL) at += accumulator === k ? jt : jf;
      else if (code === JUMP_ABOVE) at += accumulator > k ? jt : jf;
      else if (code === JUMP_BITS) at += (accumulator & k) !== 0 ? jt : jf;
      else throw new Error(`unknown instruction ${code}`);
    }
    throw new Error("the program ended without a verdict");
  }

  for (const [name, audit, numbers] of [
    ["x64", 0xc000003e, { clone: 56, socket: 41, ioctl: 16, read: 0, write: 1, openat: 257 }],
    ["arm64", 0xc00000b7, { clone: 220, socket: 198, ioctl: 29, read: 63, write: 64, openat: 56 }],
  ] as const) {
    test(`decides as it should on ${name}`, () => {
      const program = seccompFilter(name);
      expect(program.length / INSTRUCTION_BYTES).toBeLessThan(PROGRAM_INSTRUCTIONS_MAX);
      for (const number of [numbers.read, numbers.write, numbers.openat]) expect(evaluate(program, audit, number)).toBe(ALLOW);
      for (const call of DENIED_SYSCALLS) {
        const number = call[name];
        if (number !== null) expect(evaluate(program, audit, number)).toBe(refuse(call.errno === "ENOSYS" ? ENOSYS : EPERM));
      }
      expect(evaluate(program, 0x40000003, numbers.read)).toBe(KILL);
      expect(evaluate(program, audit, numbers.clone, [SIGCHLD])).toBe(ALLOW);
      for (const flag of Object.values(CLONE_NEW_FLAGS))
        expect(evaluate(program, audit, numbers.clone, [flag])).toBe(refuse(EPERM));
      expect(evaluate(program, audit, numbers.ioctl, [0, 0x5401])).toBe(ALLOW);
      for (const request of [TIOCSTI, TIOCLINUX])
        expect(evaluate(program, audit, numbers.ioctl, [0, request])).toBe(refuse(EPERM));
      expect(evaluate(program, audit, numbers.socket, [16, 3, 0])).toBe(ALLOW);
      expect(evaluate(program, audit, numbers.socket, [16, 3, 9])).toBe(refuse(EAFNOSUPPORT));
      expect(evaluate(program, audit, numbers.socket, [40, 1, 0])).toBe(refuse(EAFNOSUPPORT));
    });
  }
});
