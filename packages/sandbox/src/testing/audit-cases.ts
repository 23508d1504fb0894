import { strict as assert } from "node:assert";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { createServer } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Sandbox } from "../port.ts";
import type { ConformanceCase } from "./conformance-case.ts";
import { readLine, runCommand } from "./run-command.ts";

/** Everything that a sandbox shows at its top, and the names below `/etc` and `/home` that are not the system's. */
const TOP_NAMES = [
  "bin",
  "dev",
  "etc",
  "home",
  "lib",
  "lib32",
  "lib64",
  "libx32",
  "mnt",
  "opt",
  "proc",
  "run",
  "sbin",
  "sys",
  "tmp",
  "uploads",
  "usr",
  "var",
  "workspace",
];
const SECRET_FILES = [
  "/etc/shadow",
  "/etc/gshadow",
  "/etc/sudoers",
  "/etc/ssh",
  "/etc/ssl/private",
  "/root",
  "/home/agent/.ssh",
  "/var/run/docker.sock",
  "/run/docker.sock",
  "/boot",
  "/var/lib",
  "/var/log",
  "/sys/fs/cgroup",
];
const WRITABLE_DIRS = ["/workspace", "/tmp", "/tmp/tool_outputs", "/home/agent", "/mnt/session/outputs", "/dev/shm"];
const DEVICES = [
  "console",
  "core",
  "fd",
  "full",
  "null",
  "ptmx",
  "pts",
  "random",
  "shm",
  "stderr",
  "stdin",
  "stdout",
  "tty",
  "urandom",
  "zero",
];

const lines = (text: string): string[] => text.split("\n").filter((line) => line !== "");

async function output(sandbox: Sandbox, script: string): Promise<string> {
  return (await runCommand(sandbox, script)).stdout;
}

/** What a process in the sandbox can find out and do, tried from inside. */
export const auditCases: readonly ConformanceCase[] = [
  {
    needs: "isolation",
    name: "audit: no capabilities, no new privileges, a seccomp filter, for every process",
    run: async ({ createSandbox }) => {
      const status = await output(
        await createSandbox(),
        "cat /proc/[0-9]*/status | grep -E '^(Cap|NoNewPrivs|Seccomp:|Uid|Groups)' | sort -u",
      );
      const values = lines(status).map((line) => line.split(/:\s*/) as [string, string]);
      for (const [name, value] of values) {
        if (name.startsWith("Cap")) assert.equal(Number.parseInt(value, 16), 0, `${name}: ${value}`);
        if (name === "NoNewPrivs") assert.equal(value, "1");
        if (name === "Seccomp") assert.equal(value, "2");
        if (name === "Uid") assert.doesNotMatch(value, /\b0\b/);
      }
      assert.ok(values.length >= 8, status);
    },
  },
  {
    needs: "isolation",
    name: "audit: not root on the host, and each sandbox somebody else when the server is root",
    run: async ({ createSandbox, createVolume }) => {
      const owners: number[] = [];
      for (let i = 0; i < 2; i++) {
        const volume = await createVolume();
        await runCommand(await createSandbox({ volume }), "touch mine");
        owners.push((await stat(join(volume.path, "workspace/mine"))).uid);
      }
      assert.ok(!owners.includes(0), String(owners));
      if (process.getuid?.() === 0) assert.notEqual(owners[0], owners[1]);
    },
  },
  {
    needs: "isolation",
    name: "audit: no processes but its own",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      const count = Number(await output(sandbox, "ls -d /proc/[0-9]* | wc -l"));
      assert.ok(count >= 2 && count <= 6, `${count} processes`);
      // All that it may signal: the test and another sandbox live on.
      const other = await (await createSandbox()).exec(["/bin/bash", "--norc", "-c", "echo ready; read line; echo $line"]);
      await readLine(other.stdout);
      await runCommand(sandbox, "kill -9 -1");
      other.stdin.write("alive\n");
      assert.equal(await readLine(other.stdout), "alive\n");
    },
  },
  {
    needs: "isolation",
    name: "audit: no files of the host outside the system directories",
    run: async ({ createSandbox, createVolume }) => {
      const volume = await createVolume();
      const sandbox = await createSandbox({ volume });
      assert.deepEqual(
        lines(await output(sandbox, "ls -A /")).filter((name) => !TOP_NAMES.includes(name)),
        [],
      );
      assert.deepEqual(
        lines(await output(sandbox, "ls -A /home /home/agent/.. | grep -v :")).filter((name) => name !== "agent"),
        [],
      );
      const hidden = [...SECRET_FILES, process.cwd(), volume.path, homedir(), import.meta.filename].filter(
        (path) => path !== "/" && path !== "/tmp",
      );
      const child = await sandbox.exec([
        "/bin/bash",
        "-c",
        'for path; do [ -e "$path" ] && echo "$path"; done; echo end',
        "bash",
        ...hidden,
      ]);
      assert.equal(await readLine(child.stdout), "end\n");
      const names = await output(sandbox, "cut -d: -f1 /etc/passwd");
      assert.deepEqual(lines(names).sort(), ["agent", "nobody", "root"]);
    },
  },
  {
    needs: "isolation",
    name: "audit: nothing writable but the session's own directories",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      const found = "find / ( -path /proc -o -path /usr ) -prune -o -type d -print 2>/dev/null".replaceAll(/[()]/g, "\\$&");
      const writable = await output(sandbox, `for d in /usr $(${found}); do touch $d/.try 2>/dev/null && echo $d; done`);
      assert.deepEqual(
        lines(writable).filter((dir) => !WRITABLE_DIRS.includes(dir)),
        [],
      );
      const settings = "find /proc/sys /proc/sysrq-trigger /proc/irq -type f -print 2>/dev/null";
      assert.equal(await output(sandbox, `for f in $(${settings}); do (echo -n "" >$f) 2>/dev/null && echo $f; done`), "");
    },
  },
  {
    needs: "isolation",
    name: "audit: no devices but the harmless ones, and none can be made",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      assert.deepEqual(
        lines(await output(sandbox, "ls -A /dev")).filter((name) => !DEVICES.includes(name)),
        [],
      );
      assert.notEqual(
        (await runCommand(sandbox, "mknod /tmp/disk b 254 0 2>/dev/null || mknod /dev/shm/mem c 1 1 2>/dev/null")).code,
        0,
      );
    },
  },
  {
    needs: "isolation",
    name: "audit: no set-user-id programs, and every mount is nosuid",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      const mounts = lines(await output(sandbox, "cut -d' ' -f5,6 /proc/self/mountinfo"));
      assert.deepEqual(
        mounts.filter((mount) => !/\bnosuid\b/.test(mount)),
        [],
      );
      await runCommand(sandbox, "cp /usr/bin/id /tmp/id; chmod 4755 /tmp/id");
      assert.equal(
        await output(
          sandbox,
          "for f in /tmp/id $(find /usr -perm -4000 -name su 2>/dev/null); do $f -u </dev/null 2>/dev/null | grep -x 0; done",
        ),
        "",
      );
    },
  },
  {
    needs: "isolation",
    name: "audit: no descriptors but stdin, stdout and stderr",
    run: async ({ createSandbox }) => {
      const child = await (await createSandbox()).exec(["/bin/ls", "/proc/self/fd"]);
      child.stdin.end();
      const names = lines(
        await new Promise<string>((resolve) => {
          let text = "";
          child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
          child.stdout.on("end", () => resolve(text));
        }),
      );
      // The fourth is the directory that `ls` reads.
      assert.deepEqual(names, ["0", "1", "2", "3"]);
    },
  },
  {
    needs: "isolation",
    name: "audit: no network device but loopback, and nothing behind it",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      const devices = lines(await output(sandbox, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '"));
      assert.deepEqual(devices, ["lo"]);
      const tcp = createServer((socket) => socket.end("reached")).listen(0, "127.0.0.1");
      const abstract = createServer((socket) => socket.end("reached")).listen(`\0sandbox0-audit-${process.pid}`);
      try {
        await Promise.all([once(tcp, "listening"), once(abstract, "listening")]);
        const { port } = tcp.address() as { port: number };
        const probe = `exec 2>/dev/null
          for to in 127.0.0.1/${port} 1.1.1.1/80 169.254.169.254/80; do timeout 5 bash -c "exec 3<>/dev/tcp/$to && echo $to; cat <&3"; done
          /opt/sandbox0/bin/node -e 'require("net").connect("\\0sandbox0-audit-${process.pid}").on("data", (d) => console.log(String(d))).on("error", () => {})'
          getent ahosts example.com`;
        assert.equal(await output(sandbox, probe), "");
      } finally {
        tcp.close();
        abstract.close();
      }
    },
  },
  {
    needs: "isolation",
    name: "audit: no mounts and no namespaces of its own",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      const attempts = [
        "mount -t tmpfs none /tmp",
        "mount --bind /workspace /usr",
        "mount -o remount,rw /",
        "umount /proc",
        "unshare --user true",
        "unshare --user --map-root-user --mount true",
        "unshare --net true",
        "unshare --pid --fork true",
        "nsenter --target 1 --mount true",
        "bwrap --ro-bind / / true",
        "chroot / true",
      ];
      for (const attempt of attempts) assert.notEqual((await runCommand(sandbox, `${attempt} 2>/dev/null`)).code, 0, attempt);
    },
  },
];
