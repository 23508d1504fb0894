import { strict as assert } from "node:assert";
import { HARNESS_PROGRAMS_DIR } from "../layout.ts";
import type { ConformanceCase } from "./conformance-case.ts";
import { readAll, runCommand } from "./run-command.ts";

const PROGRAM_DIR = `${HARNESS_PROGRAMS_DIR}/test`;

export const programCases: readonly ConformanceCase[] = [
  {
    name: "shows its programs at their place, to be run",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      for (const name of ["run", "link"]) {
        const child = await sandbox.exec([`${PROGRAM_DIR}/${name}`]);
        const [text, complaint] = await Promise.all([readAll(child.stdout), readAll(child.stderr)]);
        assert.deepEqual([text, complaint], ["read from beside it\n", ""]);
      }
    },
  },
  {
    name: "lets nothing in the sandbox change a program",
    needs: "isolation",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox();
      const attempts = ["echo x >> run", "rm -f run", "touch new", "mv lib bil", "chmod 777 run"];
      for (const attempt of attempts) {
        const { code, stderr } = await runCommand(sandbox, `cd ${PROGRAM_DIR} && ${attempt}`);
        assert.notEqual(code, 0, attempt);
        assert.match(stderr, /Read-only file system|Permission denied/, attempt);
      }
      assert.equal((await runCommand(sandbox, `ls ${PROGRAM_DIR}; ls ${HARNESS_PROGRAMS_DIR}`)).stdout, "lib\nlink\nrun\ntest\n");
    },
  },
];
