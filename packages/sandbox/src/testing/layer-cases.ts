import { strict as assert } from "node:assert";
import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { SandboxError } from "../port.ts";
import type { ConformanceCase, ConformanceContext } from "./conformance-case.ts";
import { rejectsWith, runCommand } from "./run-command.ts";

const MIB = 1024 * 1024;
const LOOK_MS = 20;
const LOOKS_MAX = 3_000;
/** What a script of a package may do to the system, and what is expected to be left of it. */
const CHANGES = [
  "printf '#!/bin/sh\\necho installed\\n' > /usr/local/bin/installed && chmod 4755 /usr/local/bin/installed",
  "chown mail:shadow /usr/local/bin/installed && mkdir -m 700 /usr/lib/closed && echo inner > /usr/lib/closed/file",
  "echo setting > /etc/setting && mkdir -p /opt/program && echo program > /opt/program/file && echo state > /var/lib/state",
  "rm /usr/bin/tac && rm -rf /usr/share/doc && mkdir /usr/share/doc && echo doc > /usr/share/doc/only",
].join(" && ");

async function makeLayer({ draftLayer }: ConformanceContext, name: string, script: string): Promise<string> {
  const draft = await draftLayer(name);
  const { code, stderr } = await runCommand(draft.sandbox, script);
  assert.deepEqual([code, stderr], [0, ""]);
  return draft.keep();
}

const withLayer = (layer: string) => ({ equipment: { mounts: [], layers: [layer] } });

/** A sandbox gives its layers back a moment after it is gone. */
export async function untilGivenBack(layers: ConformanceContext["layers"], name: string): Promise<void> {
  const isUsed = async (): Promise<boolean> => (await layers.list()).find((layer) => layer.name === name)?.inUse === true;
  for (let looks = 0; await isUsed(); looks++) {
    assert.ok(looks < LOOKS_MAX, `${name} is not given back`);
    await delay(LOOK_MS);
  }
}

export const layerCases: readonly ConformanceCase[] = [
  {
    name: "layers: say what they take and whether sandboxes run with them, and stay as long as one does",
    needs: "layers",
    run: async (context) => {
      const { layers } = context;
      const layer = await makeLayer(context, "sized", "head -c 3000000 /dev/urandom > /opt/content");
      const look = async () => (await layers.list()).find(({ name }) => name === "sized");
      const before = await look();
      assert.equal(before?.inUse, false);
      assert.ok(before.sizeBytes > 3_000_000 && before.sizeBytes < 10 * MIB, String(before.sizeBytes));
      const [first, second] = [await context.createSandbox(withLayer(layer)), await context.createSandbox(withLayer(layer))];
      assert.equal((await look())?.inUse, true);
      assert.equal(await layers.remove("sized"), false);
      await first.destroy();
      assert.equal(await layers.remove("sized"), false);
      assert.equal((await runCommand(second, "wc -c < /opt/content")).stdout, "3000000\n");
      await second.destroy();
      await second.gone;
      await untilGivenBack(layers, "sized");
      assert.equal(await layers.remove("sized"), true);
      assert.equal(await look(), undefined);
      assert.equal(await layers.remove("sized"), true);
    },
  },
  {
    name: "layers: one that does not fit is not kept",
    needs: "layers",
    run: async ({ layers, draftLayer }) => {
      const draft = await draftLayer("refused");
      const refusal = new SandboxError("limit", "no room");
      let told = 0;
      const kept = draft.keep(undefined, async (sizeBytes) => {
        told = sizeBytes;
        throw refusal;
      });
      await assert.rejects(kept, refusal);
      assert.ok(told > 0);
      assert.equal(await layers.find("refused"), null);
    },
  },
  {
    name: "layers: what its own root changes in a draft is in sandboxes that are equipped with the layer, and in no others",
    needs: "layers",
    run: async (context) => {
      const before = await runCommand(await context.createSandbox(), "ls /usr/share/doc | wc -l; ls /usr/bin/tac");
      const layer = await makeLayer(context, "changes", CHANGES);
      const sandbox = await context.createSandbox(withLayer(layer));
      const look =
        "installed; cat /usr/lib/closed/file /etc/setting /opt/program/file /var/lib/state; ls /usr/share/doc; ls /usr/bin/tac; id -u";
      const { stdout, stderr } = await runCommand(sandbox, look);
      assert.equal(stdout, "installed\ninner\nsetting\nprogram\nstate\nonly\n1000\n");
      assert.match(stderr, /tac.*No such file/);
      const after = await runCommand(await context.createSandbox(), "ls /usr/share/doc | wc -l; ls /usr/bin/tac");
      assert.deepEqual(after, before);
    },
  },
  {
    name: "layers: nothing of one can be changed by a sandbox, and no program of it has more rights",
    needs: "layers",
    run: async (context) => {
      const sandbox = await context.createSandbox(withLayer(await makeLayer(context, "fixed", CHANGES)));
      const attempts = [
        "echo x >> /usr/local/bin/installed",
        "rm /etc/setting",
        "touch /var/lib/new",
        "mv /opt/program/file /opt/x",
      ];
      for (const attempt of attempts) assert.notEqual((await runCommand(sandbox, attempt)).code, 0, attempt);
      const { stdout } = await runCommand(
        sandbox,
        "find /usr/local/bin -perm /6000; cut -d' ' -f5,6 /proc/self/mountinfo | grep -v nosuid; grep CapEff /proc/self/status",
      );
      assert.equal(stdout, "CapEff:\t0000000000000000\n");
    },
  },
  {
    name: "layers: whoever makes one is as shut in as any session",
    needs: "layers",
    run: async (context) => {
      const draft = await context.draftLayer("prisoner");
      const attempts = [
        "mount -t tmpfs none /mnt",
        "umount /proc",
        "unshare --user true",
        "chroot / true",
        "echo 1 > /proc/sys/kernel/pid_max",
      ];
      for (const attempt of attempts)
        assert.notEqual((await runCommand(draft.sandbox, `${attempt} 2>/dev/null`)).code, 0, attempt);
      const { stdout } = await runCommand(
        draft.sandbox,
        "id -u; grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status | cut -f2 | sort -u; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '",
      );
      assert.equal(stdout, "0\n0000000000000000\nlo\n");
      await draft.discard();
    },
  },
  {
    name: "layers: of a draft that is discarded nothing is left",
    needs: "layers",
    run: async ({ draftLayer, layers }) => {
      const draft = await draftLayer("discarded");
      await runCommand(draft.sandbox, "touch /usr/bin/made");
      await draft.discard();
      await draft.discard();
      await rejectsWith("destroyed", draft.sandbox.exec(["/bin/true"]));
      assert.equal(await layers.find("discarded"), null);
    },
  },
  {
    name: "layers: one that no sandbox would start with is not kept",
    needs: "layers",
    run: async ({ draftLayer, layers }) => {
      const draft = await draftLayer("headless");
      await runCommand(draft.sandbox, "rm /usr/bin/bash");
      await rejectsWith("unavailable", draft.keep());
      assert.equal(await layers.find("headless"), null);
    },
  },
  {
    name: "layers: what fills the disk while it makes one is ended",
    needs: "layers",
    run: async ({ draftLayer }) => {
      const draft = await draftLayer("large", { diskBytesMax: 512 * MIB });
      const { killedBy } = await runCommand(draft.sandbox, "head -c 1G /dev/zero > /usr/lib/large; sleep 1000");
      assert.equal(killedBy, "disk");
      await draft.discard();
    },
  },
  {
    name: "layers: no name of a layer leads elsewhere, and no directory is one that was not made as one",
    needs: "layers",
    run: async ({ layers, draftLayer, createSandbox }) => {
      for (const name of ["../kept", "a/b", "", "."]) {
        await rejectsWith("path_refused", layers.find(name));
        await rejectsWith("path_refused", draftLayer(name));
      }
      for (const path of ["/", "/etc", "../x"]) await rejectsWith("unavailable", createSandbox(withLayer(path)));
    },
  },
  {
    name: "layers: no link in one leads out of a sandbox",
    needs: "layers",
    run: async (context) => {
      const outside = await mkdtemp(join(tmpdir(), "sandbox0-outside-"));
      try {
        await chmod(outside, 0o755);
        await writeFile(join(outside, "secret"), "the host's");
        // The last name is no text: read as such it is that of the link before it.
        const links = [
          `ln -s ${outside} /opt/dir`,
          `ln -s ${outside}/secret /opt/file`,
          `ln -s ${outside} $'/opt/\\xef\\xbf\\xbd'`,
        ];
        const inside =
          "mkdir -p /opt/program && echo program > /opt/program/file && ln -s program /opt/current; echo x > /opt/plain";
        const odd = "ln -s /nowhere /opt/dangling; mkfifo /opt/pipe; mkdir $'/opt/\\xff'";
        const draft = await context.draftLayer("links");
        await runCommand(draft.sandbox, [...links, inside, odd].join("; "));
        const sandbox = await context.createSandbox(withLayer(await draft.keep()));
        const look = "cat /opt/current/file /opt/plain; cd /opt; cat secret */secret file; true";
        const { stdout } = await runCommand(sandbox, look);
        assert.equal(stdout, "program\nx\n");
      } finally {
        await rm(outside, { recursive: true });
      }
    },
  },
  {
    name: "layers: nothing of the host is run or removed by what a layer has put in its place",
    needs: "layers",
    run: async (context) => {
      const outside = await mkdtemp(join(tmpdir(), "sandbox0-outside-"));
      try {
        await chmod(outside, 0o777);
        await writeFile(join(outside, "policy-rc.d"), "the host's");
        const tools = ["bwrap", "mount", "unshare", "setpriv", "rm", "chown", "chmod", "find", "xargs", "ln"];
        const trap = `printf '#!/bin/sh\\ntouch ${outside}/ran\\n' > /tmp/trap && chmod 755 /tmp/trap`;
        const put = tools.map(
          (tool) => `mkdir -p /usr/sbin && cp /tmp/trap /usr/bin/${tool}.new && mv /usr/bin/${tool}.new /usr/bin/${tool}`,
        );
        // The last of them may be refused where the name is a directory that something is mounted in.
        const links = `rm -rf /usr/sbin; ln -s ${outside} /usr/sbin; rm -rf /opt/x; ln -s ${outside} /opt/harness; ln -s / /usr/share/root`;
        const draft = await context.draftLayer("trap");
        // Its own `rm` first: afterwards there is none.
        await runCommand(draft.sandbox, [links, trap, ...put].join("; "));
        const layer = await draft.keep();
        const { stdout } = await runCommand(await context.createSandbox(withLayer(layer)), "echo works");
        assert.equal(stdout, "works\n");
        assert.deepEqual(await readdir(outside), ["policy-rc.d"]);
      } finally {
        await rm(outside, { recursive: true });
      }
    },
  },
];
