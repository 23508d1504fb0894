import { strict as assert } from "node:assert";
import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { auditCases } from "./audit-cases.ts";
import type { ConformanceCase, ConformanceContext } from "./conformance-case.ts";
import { hostPrograms, imageArchive, type ImageEntry, type TestImage } from "./image-archive.ts";
import { untilGivenBack } from "./layer-cases.ts";
import { programCases } from "./program-cases.ts";
import { rejectsWith, runCommand } from "./run-command.ts";

/** What the cases run. */
const PROGRAMS = [
  ...["sh", "cat", "chmod", "chroot", "cp", "cut", "dirname", "find", "getent", "grep", "head", "id"],
  ...[
    "ls",
    "mkdir",
    "mknod",
    "mount",
    "mv",
    "nsenter",
    "readlink",
    "rm",
    "sort",
    "stat",
    "tail",
    "timeout",
    "touch",
    "tr",
    "umount",
    "unshare",
    "wc",
  ],
];
const OS_RELEASE: ImageEntry = { name: "etc/os-release", content: "NAME=test-image\n" };

const equipped = (layer: string) => ({ equipment: { mounts: [], layers: [layer] } });

async function unpack({ layers }: ConformanceContext, name: string, image: TestImage): Promise<string> {
  const archive = Readable.from([await imageArchive(image)]);
  return layers.unpackImage(name, { archive, onProgress: () => undefined });
}

/** One with programs, which many cases have. */
async function programImage(context: ConformanceContext): Promise<string> {
  const known = await context.layers.find("programs");
  const env = ["PATH=/usr/local/bin:/usr/bin:/bin", "OF_IMAGE=yes"];
  return known ?? unpack(context, "programs", { layers: [await hostPrograms(PROGRAMS), [OS_RELEASE]], env });
}

async function overImage(context: ConformanceContext): Promise<ConformanceContext> {
  const layer = await programImage(context);
  const { layers, createSandbox } = context;
  return { ...context, layers, createSandbox: (options) => createSandbox({ ...equipped(layer), ...options }) };
}

export const imageCases: readonly ConformanceCase[] = [
  ...[...auditCases, ...programCases].map(
    ({ name, run }): ConformanceCase => ({
      name: `${name} (in an image)`,
      needs: "layers",
      run: async (context) => run(await overImage(context)),
    }),
  ),
  {
    name: "images: a sandbox with one sees its system, and nothing of the machine's",
    needs: "layers",
    run: async (context) => {
      const sandbox = await context.createSandbox(equipped(await programImage(context)));
      const look = "cat /etc/os-release; echo $OF_IMAGE $HOME; ls /usr; ls /usr/bin | wc -l; ls -A /etc /var; id -un; ls /opt";
      const { stdout, stderr } = await runCommand(sandbox, look);
      assert.equal(stderr, "");
      const [release, variables, ...rest] = stdout.trimEnd().split("\n");
      assert.deepEqual([release, variables], ["NAME=test-image", "yes /home/agent"]);
      assert.deepEqual(rest.slice(0, rest.indexOf("/etc:")).slice(0, 3), ["bin", "lib", "lib64"]);
      assert.ok(!stdout.includes("dpkg") && !stdout.includes("machine-id"), stdout);
      assert.deepEqual(rest.slice(-3), ["agent", "harness", "sandbox0"]);
      const plain = await runCommand(await context.createSandbox(), "cat /etc/os-release; echo $OF_IMAGE");
      assert.doesNotMatch(plain.stdout, /test-image|yes/);
    },
  },
  {
    name: "images: one that has nothing at all has a shell, Node, the tool server and a way out",
    needs: "layers",
    run: async (context) => {
      const layer = await unpack(context, "nothing", { layers: [[]] });
      const openEgress = async (_id: string, socketPath: string) => {
        const server = createServer((socket) => socket.end("from outside\n")).listen(socketPath);
        return { close: async () => void server.close() };
      };
      const sandbox = await context.createSandbox({ ...equipped(layer), openEgress });
      const node = `/opt/sandbox0/bin/node -p 'process.execPath + " " + process.getuid()'`;
      const { stdout, stderr } = await runCommand(
        sandbox,
        `${node}; sh -c 'echo sh'; exec 3<>/dev/tcp/127.0.0.1/3128; read -r line <&3; echo "$line"; echo x > /workspace/made; read -r line < /workspace/made; echo "$line"`,
      );
      assert.deepEqual([stdout, stderr], ["/opt/sandbox0/bin/node 1000\nsh\nfrom outside\nx\n", ""]);
      const server = await sandbox.exec(["/opt/sandbox0/bin/node", "/opt/sandbox0/tool-server.cjs"], { network: false });
      server.stdin.end();
      server.stdout.resume();
      assert.equal((await server.exited).code, 0);
    },
  },
  {
    name: "images: nothing of one can be changed by a sandbox, nor read of the shell that runs commands",
    needs: "layers",
    run: async (context) => {
      const sandbox = await context.createSandbox(equipped(await programImage(context)));
      const attempts = [
        "echo x >> /etc/os-release",
        "rm /usr/bin/cat",
        "touch /opt/x",
        "cat /opt/sandbox0/bin/bash",
        "mv /usr/bin/id /tmp/id",
      ];
      for (const attempt of attempts) assert.notEqual((await runCommand(sandbox, attempt)).code, 0, attempt);
    },
  },
  {
    name: "images: what is installed over one is in sandboxes that have both, and the image stays as it is",
    needs: "layers",
    run: async (context) => {
      const image = await programImage(context);
      const draft = await context.draftLayer("over", {}, "programs");
      const changes = [
        "printf '#!/bin/sh\\necho installed\\n' > /usr/bin/installed && chmod 755 /usr/bin/installed",
        "echo more >> /etc/os-release && mkdir -p /opt/program /var/lib/state && echo kept > /opt/program/file",
        "rm /usr/bin/wc && rm /bin/bash && echo broken > /bin/bash",
        "ls /usr/sbin/policy-rc.d /usr/share/doc 2>/dev/null",
        "id -u",
      ];
      const { stdout } = await runCommand(draft.sandbox, changes.join("; "));
      assert.equal(stdout, "/usr/sbin/policy-rc.d\n0\n");
      const layer = await draft.keep();
      const look =
        "installed; cat /etc/os-release /opt/program/file; ls /var/lib; ls /usr/bin/wc; readlink /bin/bash; echo $OF_IMAGE";
      const over = await runCommand(await context.createSandbox(equipped(layer)), look);
      assert.equal(over.stdout, "installed\nNAME=test-image\nmore\nkept\nstate\n/opt/sandbox0/bin/bash\nyes\n");
      const below = await runCommand(
        await context.createSandbox(equipped(image)),
        "cat /etc/os-release; installed; ls /usr/bin/wc",
      );
      assert.equal(below.stdout, "NAME=test-image\n/usr/bin/wc\n");
    },
  },
  {
    name: "images: what lies over one that is removed is none, and one that sandboxes run with stays",
    needs: "layers",
    run: async (context) => {
      await unpack(context, "fleeting", { layers: [await hostPrograms(["rm"])] });
      const draft = await context.draftLayer("above", {}, "fleeting");
      assert.equal(await context.layers.remove("fleeting"), false);
      const layer = await draft.keep();
      const sandbox = await context.createSandbox(equipped(layer));
      assert.equal(await context.layers.remove("fleeting"), false);
      await sandbox.destroy();
      assert.equal(await context.layers.find("above"), layer);
      await untilGivenBack(context.layers, "fleeting");
      assert.equal(await context.layers.remove("fleeting"), true);
      assert.equal(await context.layers.find("above"), null);
    },
  },
  {
    name: "images: no link in one leads out of a sandbox, and nothing is mounted where one leads",
    needs: "layers",
    run: async (context) => {
      const outside = await mkdtemp(join(tmpdir(), "sandbox0-outside-"));
      try {
        await chmod(outside, 0o755);
        await writeFile(join(outside, "secret"), "the host's");
        const link = (name: string, linkname: string): ImageEntry => ({ name, type: "symlink", linkname });
        const entries = [
          ...[link("srv", outside), link("secret", `${outside}/secret`), link("tmp", outside), link("workspace", outside)],
          ...[link("opt/harness", outside), link("opt/sandbox0", outside), link("etc/ssl/certs", outside), link("run", outside)],
          ...[
            link("var/tmp", outside),
            link("home", outside),
            link("uploads", outside),
            link("proc", outside),
            link("mnt", outside),
          ],
        ];
        const layer = await unpack(context, "links", { layers: [await hostPrograms(["cat", "touch"]), entries] });
        const sandbox = await context.createSandbox(equipped(layer));
        const { stdout } = await runCommand(sandbox, "cat /srv/secret /secret; touch /tmp/x /workspace/y; echo end");
        assert.equal(stdout, "end\n");
        assert.deepEqual(await readdir(outside), ["secret"]);
      } finally {
        await rm(outside, { recursive: true });
      }
    },
  },
  {
    name: "images: of one that cannot be used nothing is left, and why is said",
    needs: "layers",
    run: async ({ layers }) => {
      const refused = (archive: AsyncIterable<Uint8Array>) =>
        layers.unpackImage("refused", { archive, onProgress: () => undefined });
      const file = await imageArchive({ layers: [[{ name: "../../../etc/passwd", content: "x" }]] });
      await assert.rejects(refused(Readable.from([file])), /the image cannot be used: "..\/..\/..\/etc\/passwd" leads out of it/);
      await rejectsWith("unavailable", refused(Readable.from([Buffer.from("nothing")])));
      const broken = (async function* () {
        yield file.subarray(0, 100);
        throw new Error("the source is gone");
      })();
      await assert.rejects(refused(broken), /the source is gone/);
      const abort = AbortSignal.timeout(100);
      const endless = (async function* () {
        for (;;) yield await new Promise<Buffer>((resolve) => setTimeout(() => resolve(Buffer.alloc(512, 7)), 10));
      })();
      await assert.rejects(layers.unpackImage("refused", { archive: endless, signal: abort, onProgress: () => undefined }));
      assert.equal(await layers.find("refused"), null);
    },
  },
];
