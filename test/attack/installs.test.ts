import { beforeAll, describe, expect, test, type TestContext } from "vitest";
import { attackFixture, requestsIn } from "./stage/attack-fixture.ts";
import type { HostileSession } from "./stage/hostile-session.ts";
import { stagePath } from "./stage/namespace.ts";
import { BIG_FILE_BYTES, REGISTRIES, REGISTRY_ENVIRONMENT, REGISTRY_ZONE, writeRegistries } from "./stage/registries.ts";

/** Registries of our own, so that nothing depends on what can be reached from here; `installs.extra.test.ts` uses the real ones. */
const fixture = attackFixture(REGISTRY_ZONE, {
  environment: REGISTRY_ENVIRONMENT,
  prepare: (stage) => writeRegistries(stagePath(stage.dir, "sites")),
});
const INSTALL_TIMEOUT_MS = 110_000;
const NPM = `cd /workspace && npm install --no-audit --no-fund --registry=https://${REGISTRIES.npm}/ hello-npm && node -p 'require("hello-npm")'`;
const PIP = `python3 -m pip install --quiet --target /workspace/py --index-url https://${REGISTRIES.pip}/simple/ hello-pip && PYTHONPATH=/workspace/py python3 -c 'import hello_pip'`;

/** Sandboxes have the programs of their machine's system directories. */
async function need(context: TestContext, session: HostileSession, command: string): Promise<void> {
  const output = await session.bash(`${command} >/dev/null 2>&1 && echo here`);
  context.skip(output !== "here", `this machine has no ${command.split(" --")[0]} in its system directories`);
}

describe("limited, with package managers and one host", () => {
  let session: HostileSession;
  beforeAll(async () => {
    session = await fixture.session({
      networking: { type: "limited", allowed_hosts: [REGISTRIES.git], allow_package_managers: true },
    });
  });

  test("curl downloads, also what is large", async (context) => {
    await need(context, session, "curl --version");
    expect(await session.bash(`curl -sS https://${REGISTRIES.git}/hello.git/HEAD`)).toBe("ref: refs/heads/main");
    expect(await session.bash(`curl -sS https://${REGISTRIES.git}/big | wc -c`)).toBe(String(BIG_FILE_BYTES));
  });

  test("git clones from git's own server of the smart protocol, whole and shallow, over TLS", async () => {
    const url = `https://${REGISTRIES.git}/hello.git`;
    await fixture.stage.inside.forget();
    // `dumb` servers, which are only files, know no shallow clones.
    const clone = `cd /workspace && git clone --quiet ${url} && git clone --quiet --depth 1 ${url} shallow`;
    expect(await session.bash(`${clone} && cat hello/README shallow/README`, INSTALL_TIMEOUT_MS)).toBe(
      "hello from git\nhello from git",
    );
    const posts = requestsIn(await fixture.reached()).filter(({ method }) => method === "POST");
    expect(posts.length).toBeGreaterThan(0);
  });

  test("npm installs a package and what it needs", async (context) => {
    await need(context, session, "npm --version");
    expect(await session.bash(NPM, INSTALL_TIMEOUT_MS)).toMatch(/hello-base hello-npm/);
  });

  test("pip installs, from an index whose files are on another host", async (context) => {
    await need(context, session, "python3 -m pip --version");
    expect(await session.bash(PIP, INSTALL_TIMEOUT_MS)).toMatch(/hello from pip$/);
  });

  test("nothing else is open for it", async () => {
    await fixture.stage.inside.forget();
    expect(await session.bash("curl -sS https://elsewhere.test/ 2>&1")).toMatch(/403/);
    // The server itself may ask the registries meanwhile where their files are.
    const { addresses } = REGISTRY_ZONE["elsewhere.test"] as { addresses: string[] };
    const there = (await fixture.reached()).filter((each) => {
      if (each.kind === "dns") return each.name.includes("elsewhere");
      return each.kind === "udp" || addresses.includes(each.to);
    });
    expect(there).toEqual([]);
  });
});

describe("limited, without package managers", () => {
  test("no package comes in", async () => {
    const session = await fixture.session({ networking: { type: "limited", allowed_hosts: ["elsewhere.test"] } });
    await fixture.stage.inside.forget();
    // Also where one of them is missing: then nothing is reached either.
    expect(await session.bash(`${NPM} --fetch-retries=0 2>&1`, INSTALL_TIMEOUT_MS)).toMatch(/npm (ERR!|error)|not found/);
    expect(await session.bash(`${PIP.replace("install", "install --retries 0")} 2>&1`, INSTALL_TIMEOUT_MS)).toMatch(
      /ERROR|No matching/,
    );
    // What the session would ask for; the server itself may still ask an index where its files are.
    expect(requestsIn(await fixture.reached()).filter(({ url }) => url.includes("hello"))).toEqual([]);
  });
});
