import { existsSync } from "node:fs";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { until } from "@sandbox0/testkit";
import type { BetaCloudConfigParams } from "@anthropic-ai/sdk/resources/beta/environments";
import { describe, expect, test } from "vitest";
import { attackFixture, requestsIn } from "./stage/attack-fixture.ts";
import type { HostileSession } from "./stage/hostile-session.ts";
import { stagePath } from "./stage/namespace.ts";
import { APT_SOURCE, REGISTRY_ENVIRONMENT, REGISTRY_ZONE, writeRegistries } from "./stage/registries.ts";

/** Packages of an environment, really installed, from registries of our own; `environment-packages.extra.test.ts` uses real ones. */
const fixture = attackFixture(REGISTRY_ZONE, {
  environment: REGISTRY_ENVIRONMENT,
  prepare: async (stage) => {
    await writeRegistries(stagePath(stage.dir, "sites"));
    await writeFile(join(stagePath(stage.dir, "aptSources"), "pretend.list"), APT_SOURCE);
  },
});
const BUILD_TIMEOUT_MS = 300_000;
const TEST_TIMEOUT_MS = 400_000;
/** What this machine can install; sandboxes have the programs of its system directories. */
const HAS = {
  apt: existsSync("/usr/bin/apt-get") && existsSync("/usr/bin/dpkg-deb"),
  npm: existsSync("/usr/bin/npm"),
  pip: existsSync("/usr/lib/python3/dist-packages/pip"),
};
type Packages = NonNullable<BetaCloudConfigParams["packages"]>;

interface Build {
  state: string;
  step: string | null;
  error: string | null;
  log_tail: string;
}

async function createEnvironment(packages: Packages, metadata: Record<string, string> = {}): Promise<string> {
  const networking = { type: "limited" as const, allow_package_managers: true };
  const config = { type: "cloud" as const, networking, packages };
  const { id } = await fixture.server.client.beta.environments.create({ name: "prepared", config, metadata });
  return id;
}

const readBuild = (environmentId: string): Promise<Build> =>
  fixture.server.client.get(`/sandbox0/v1/environments/${environmentId}/build`);

async function untilBuilt(environmentId: string): Promise<Build> {
  let build: Build | undefined;
  await until(
    async () => {
      build = await readBuild(environmentId);
      return build.state === "ready" || build.state === "failed";
    },
    { timeoutMs: BUILD_TIMEOUT_MS, describe: () => build },
  );
  return build as Build;
}

const open = (environmentId: string): Promise<HostileSession> =>
  fixture.session({ networking: { type: "unrestricted" }, environmentId });

const errorsOf = ({ stream }: HostileSession): unknown[] => stream.received.filter(({ type }) => type === "session.error");

/** What no build may leave on the machine. */
async function expectNothingLeft(): Promise<void> {
  const layers = join(fixture.stage.dataDir, "sandbox/layers");
  expect(await readdir(join(layers, "drafts"))).toEqual([]);
  expect(await fixture.stage.inside.run("cat", ["/proc/mounts"])).not.toContain(layers);
}

describe("packages of an environment", { timeout: TEST_TIMEOUT_MS }, () => {
  test("apt, npm and pip install them once, and every session has them", async (context) => {
    const wanted: Packages = {
      ...(HAS.apt && { apt: ["hello-apt=1.0"] }),
      ...(HAS.npm && { npm: ["hello-npm"] }),
      ...(HAS.pip && { pip: ["hello-pip"] }),
    };
    context.skip(Object.keys(wanted).length === 0, "this machine has no package manager in its system directories");
    // The second one is an upgrade: dpkg replaces files that are there.
    const setup = HAS.apt ? "apt-get -y install hello-apt && id -u >/etc/set-up" : "id -u >/etc/set-up";
    const environmentId = await createEnvironment(wanted, { "sandbox0.setup": setup });
    const build = await untilBuilt(environmentId);
    expect(build, build.log_tail).toMatchObject({ state: "ready", step: null, error: null });
    await expectNothingLeft();
    await fixture.stage.inside.forget();
    for (const session of [await open(environmentId), await open(environmentId)]) {
      expect(await session.bash("cat /etc/set-up; id -u")).toBe("0\n1000");
      if (HAS.npm) {
        // From anywhere, and both ways in which Node looks for modules.
        const look =
          "cd /workspace && node -p 'require(\"hello-npm\")' && node --input-type=module -e 'import m from \"hello-npm\"; console.log(m)'";
        expect(await session.bash(look)).toBe("hello-base hello-npm \nhello-base hello-npm ");
      }
      if (HAS.pip) expect(await session.bash("python3 -c 'import hello_pip'")).toBe("hello from pip");
      if (HAS.apt) {
        expect(await session.bash("hello-apt; cat /etc/hello-apt.conf /var/lib/hello-apt/*; getent passwd hello-apt")).toMatch(
          /^hello from apt, second\nsetting\nstate\nhello-apt:/,
        );
        expect(await session.bash("find / -xdev -perm /6000 2>/dev/null; ls -d /var/lib/apt/lists/* 2>&1")).toMatch(
          /No such file/,
        );
      }
      expect(await session.bash("touch /usr/bin/x /etc/x /var/x 2>&1")).toMatch(/Read-only[\s\S]*Read-only[\s\S]*Read-only/);
      expect(errorsOf(session)).toEqual([]);
    }
    // The server itself may still ask an index where its files are.
    const asked = requestsIn(await fixture.reached()).filter(({ url }) => url.includes("hello"));
    expect(asked, "a registry that a session asked").toEqual([]);
  });

  test("what cannot be installed is a stated error with the end of the output, and the session goes on", async (context) => {
    context.skip(!HAS.pip, "this machine has no pip in its system directories");
    const environmentId = await createEnvironment({ pip: ["there-is-no-such-package"] });
    const build = await untilBuilt(environmentId);
    expect(build).toMatchObject({ state: "failed", step: "pip", error: "pip failed (status 1)" });
    expect(build.log_tail).toMatch(/No matching distribution found for there-is-no-such-package/);
    const session = await open(environmentId);
    expect(await session.bash("echo goes on")).toBe("goes on");
    expect(errorsOf(session)).toMatchObject([
      {
        error: {
          type: "unknown_error",
          message: expect.stringMatching(/pip failed[\s\S]*No matching distribution/),
          retry_status: { type: "retrying" },
        },
      },
    ]);
    await expectNothingLeft();
  });

  test("whoever installs is shut in like a session: policy, files, secrets, neighbours", async () => {
    const attempts = [
      "curl -sS --max-time 20 https://elsewhere.test/ && echo GOT OUT",
      "curl -sS --noproxy '*' --max-time 5 http://151.101.1.1/ && echo GOT OUT",
      `ls ${fixture.stage.dataDir} /proc/1/root/root && echo SAW THE HOST`,
      "(env; cat /proc/*/environ) | tr '\\0' '\\n' | grep -a attack-tests && echo SAW A KEY",
      "mount -t tmpfs x /mnt && echo MOUNTED",
    ];
    await fixture.stage.inside.forget();
    // One metadata value has 512 characters.
    const script = attempts.map((attempt) => `(${attempt})`).join("; ");
    expect(script.length).toBeLessThan(512);
    const environmentId = await createEnvironment({}, { "sandbox0.setup": `set +e; ${script}; true` });
    const build = await untilBuilt(environmentId);
    expect(build.state).toBe("ready");
    expect(build.log_tail).not.toMatch(/GOT OUT|SAW|MOUNTED/);
    expect(build.log_tail).toMatch(/403/);
    const reached = await fixture.reached();
    expect(reached.filter((each) => each.kind === "http" && each.host.includes("elsewhere"))).toEqual([]);
  });
});
