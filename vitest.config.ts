import { defineConfig } from "vitest/config";

/** One slow, loaded machine must still pass: a test waits on conditions, and these only stop one that never comes. */
const TEST_TIMEOUT_MS = 300_000;
const HOOK_TIMEOUT_MS = 300_000;

/** Files at once. Sized for two cores: what starts servers, sandboxes or databases gets less. */
const WORKERS = { light: 2, heavy: 2, alone: 1 };

interface Suite {
  name: string;
  include: string[];
  exclude?: string[];
  maxWorkers: number;
}

/** Source folders whose tests need no database, sandbox or server. */
const PURE = [
  "packages/protocol/src/**",
  "packages/egress/src/**",
  "packages/server/src/domain/**",
  "packages/testkit/src/**",
  "apps/console/src/**",
  "scripts/**",
];
const PORTS = ["packages/sandbox/src/**", "packages/harness/src/**"];
const API = ["apps/cli/src/**", "test/conformance/**", "test/docs/**", "test/packaging/**"];
/** Each file has a network namespace, servers and sandboxes. */
const ATTACK = ["test/attack/**"];
const CRASH = ["test/crash/**", "test/harnesses/**"];
/** Of those, the ones that need every processor there is. */
const KILLS = ["turn", "random-kills", "harness-kills", "nodes"].map((name) => `test/crash/${name}.test.ts`);
/** Each file has a server, sandboxes and a browser. */
const BROWSER = ["test/browser/**"];
/** Extra proof (`make test-extra`): long soaks and repetitions, named `*.extra.test.ts`. */
const EXTRA = "**/*.extra.test.ts";

const tests = (folders: readonly string[]): string[] => folders.map((folder) => `${folder}/*.test.ts`);

const suites: Suite[] = [
  { name: "unit", include: tests(PURE), maxWorkers: WORKERS.light },
  { name: "store", include: tests(["packages/server/src/**"]), exclude: tests(PURE), maxWorkers: WORKERS.heavy },
  { name: "ports", include: tests(PORTS), maxWorkers: WORKERS.heavy },
  { name: "api", include: tests(API), maxWorkers: WORKERS.heavy },
  { name: "browser", include: tests(BROWSER), maxWorkers: WORKERS.heavy },
  { name: "attack", include: tests(ATTACK), maxWorkers: WORKERS.heavy },
  { name: "crash", include: tests(CRASH), exclude: KILLS, maxWorkers: WORKERS.heavy },
  { name: "kills", include: KILLS, maxWorkers: WORKERS.alone },
];

export default defineConfig({
  test: {
    // Only listens: Postgres starts when the first file asks for a database.
    globalSetup: ["./packages/testkit/src/postgres-setup.ts"],
    reporters: ["default", "./test/conformance/requirements-reporter.ts", "./scripts/count-reporter.ts"],
    projects: suites.map(({ name, include, exclude = [], maxWorkers }, index) => ({
      test: {
        name,
        include,
        exclude: ["**/node_modules/**", EXTRA, ...exclude],
        environment: "node",
        pool: "forks",
        maxWorkers,
        testTimeout: TEST_TIMEOUT_MS,
        hookTimeout: HOOK_TIMEOUT_MS,
        // Suites run one after the other: two heavy ones at once would only measure the machine.
        sequence: { groupOrder: index },
      },
    })),
  },
});
