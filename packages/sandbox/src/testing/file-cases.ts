import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import { chown, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ConformanceCase } from "./conformance-case.ts";
import { rejectsWith, runCommand } from "./run-command.ts";

const MIB = 1024 * 1024;

export const fileCases: readonly ConformanceCase[] = [
  {
    name: "writes and reads bytes, making directories on the way",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      for (const data of [Buffer.alloc(0), randomBytes(3 * MIB)]) {
        await sandbox.writeFile("/workspace/a/b/file.bin", data);
        assert.ok(data.equals(await sandbox.readFile("/workspace/a/b/file.bin")));
      }
    },
  },
  {
    name: "shares files with commands, both ways, in every directory of the session",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      for (const dir of ["/workspace", "/mnt/session/outputs", "/home/agent", "/tmp"]) {
        await sandbox.writeFile(`${dir}/from-host`, Buffer.from("1"));
        const { code, stderr } = await runCommand(sandbox, "test $(cat from-host) = 1 && echo 2 > from-command", { cwd: dir });
        assert.equal(code, 0, `${dir}: ${stderr}`);
        assert.equal(Buffer.from(await sandbox.readFile(`${dir}/from-command`)).toString(), "2\n");
      }
    },
  },
  {
    name: "lists a directory with types and sizes",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      await runCommand(sandbox, "mkdir d; printf 12345 > f; ln -s f l; mkfifo p; touch $'tab\\there' 'ümläut name'");
      const entries = await sandbox.list("/workspace");
      const found = entries.map(({ path, type, sizeBytes }) => [path, type, type === "file" ? sizeBytes : null]);
      assert.deepEqual(found.sort(), [
        ["/workspace/d", "directory", null],
        ["/workspace/f", "file", 5],
        ["/workspace/l", "symlink", null],
        ["/workspace/p", "other", null],
        ["/workspace/tab\there", "file", 0],
        ["/workspace/ümläut name", "file", 0],
      ]);
      assert.ok(entries.every(({ modifiedAt }) => Math.abs(modifiedAt.getTime() - Date.now()) < 10 * 60_000));
    },
  },
  {
    name: "says that a file or directory is not there",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      await rejectsWith("not_found", sandbox.readFile("/workspace/nothing"));
      await rejectsWith("not_found", sandbox.list("/workspace/nothing"));
    },
  },
  {
    name: "refuses paths outside the session's directories",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      const paths = [
        "relative",
        "",
        "/",
        "/etc/passwd",
        "/workspace/../etc/passwd",
        "/workspacex/a",
        "/proc/self/environ",
        "/workspace/a\0b",
        "/mnt",
        "/tmp/../usr/bin/env",
      ];
      for (const path of paths) {
        await rejectsWith("path_refused", sandbox.readFile(path));
        await rejectsWith("path_refused", sandbox.writeFile(path, Buffer.from("x")));
        await rejectsWith("path_refused", sandbox.list(path));
      }
    },
  },
  {
    name: "does not follow links out of the session's directories",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      await runCommand(
        sandbox,
        "ln -s /etc/passwd file; ln -s / root; ln -s ../../../../etc etc; ln -s /etc/new new; ln -s loop loop",
      );
      for (const path of ["file", "root/etc/passwd", "etc/passwd"])
        await rejectsWith("path_refused", sandbox.readFile(`/workspace/${path}`));
      for (const path of ["file", "new", "etc/x", "root/tmp-x"]) {
        await rejectsWith("path_refused", sandbox.writeFile(`/workspace/${path}`, Buffer.from("x")));
      }
      for (const path of ["root", "etc"]) await rejectsWith("path_refused", sandbox.list(`/workspace/${path}`));
      await rejectsWith(["path_refused", "not_found", "io"], sandbox.readFile("/workspace/loop"));
    },
  },
  {
    name: "follows links within them",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      await runCommand(sandbox, "mkdir d; echo 1 > d/f; ln -s d/f l; ln -s d ld");
      assert.equal(Buffer.from(await sandbox.readFile("/workspace/l")).toString(), "1\n");
      assert.equal(Buffer.from(await sandbox.readFile("/workspace/ld/f")).toString(), "1\n");
    },
  },
  {
    name: "shows uploads and skills read-only",
    needs: "isolation",
    run: async ({ createSandbox, createVolume }) => {
      const volume = await createVolume();
      const sandbox = await createSandbox({ volume });
      for (const [name, at] of [
        ["uploads", "/mnt/session/uploads"],
        ["skills", "/mnt/skills"],
      ] as const) {
        // What is put there later is there at once.
        await writeFile(join(volume.path, name, "data.csv"), "a,b\n", { mode: 0o644 });
        assert.equal(Buffer.from(await sandbox.readFile(`${at}/data.csv`)).toString(), "a,b\n");
        const { code } = await runCommand(sandbox, `echo x > ${at}/data.csv || rm -f ${at}/data.csv`);
        assert.notEqual(code, 0);
        await rejectsWith(["io", "path_refused"], sandbox.writeFile(`${at}/new`, Buffer.from("x")));
        assert.equal(Buffer.from(await sandbox.readFile(`${at}/data.csv`)).toString(), "a,b\n");
      }
    },
  },
  {
    name: "shows mounts as writable as they are, and nothing can be written beside them",
    needs: "isolation",
    run: async ({ createSandbox, createVolume }) => {
      const volume = await createVolume();
      const { uid, gid } = await stat(volume.path);
      const [open, shut] = [`${volume.path}-open`, `${volume.path}-shut`];
      try {
        for (const dir of [open, shut]) {
          await mkdir(dir, { mode: 0o700 });
          await writeFile(join(dir, "a"), dir);
          for (const path of [dir, join(dir, "a")]) await chown(path, uid, gid);
        }
        const mounts = [
          { source: open, at: "/mnt/memory/open", writable: true },
          { source: shut, at: "/mnt/memory/shut", writable: false },
        ];
        const sandbox = await createSandbox({ volume, equipment: { mounts, layers: [] } });
        const { stdout } = await runCommand(
          sandbox,
          "cd /mnt/memory; cat open/a shut/a; for f in open/b shut/b shut/a c; do echo x 2>/dev/null > $f && echo $f; done",
        );
        assert.equal(stdout, `${open}${shut}open/b\n`);
        assert.equal(await readFile(join(open, "b"), "utf8"), "x\n");
      } finally {
        for (const dir of [open, shut]) await rm(dir, { recursive: true, force: true });
      }
    },
  },
];
