import { until } from "@sandbox0/testkit";
import { beforeAll, describe, expect, test } from "vitest";
import { attackFixture } from "./stage/attack-fixture.ts";
import type { HostileSession } from "./stage/hostile-session.ts";
import { connectTls, connectTo, get, plainGet, socks } from "./stage/http-words.ts";
import { GOOD, INWARD_ZONE } from "./stage/zones.ts";

/** The server's own door is at port 80: at any other, the rule about ports would be enough to keep it shut. */
const OWN_PORT = 80;
const fixture = attackFixture(INWARD_ZONE, {
  stage: { freePorts: [OWN_PORT] },
  environment: { SANDBOX0_PORT: String(OWN_PORT), SANDBOX0_EGRESS_ALLOW_PRIVATE: "127.0.0.0/8,10.7.0.0/16,::1" },
});
let open: HostileSession;

beforeAll(async () => {
  open = await fixture.session({ networking: { type: "unrestricted" } });
});

/** Spellings of addresses; all are closed, and lead to the recording servers if they are dialled. */
const ADDRESSES = [
  "10.0.0.5",
  "172.16.0.1",
  "192.168.1.1",
  "169.254.7.7",
  "100.64.1.1",
  "0.0.0.0",
  "0",
  "167772165", // 10.0.0.5 as one number
  "0x0a000005",
  "012.0.0.5", // octal
  "0xa.0.0.5",
  "10.5", // short
  "012.0x0.5",
  "198.18.0.1",
  "224.0.0.1",
  "255.255.255.255",
  "[::]",
  "[::ffff:10.0.0.5]",
  "[::ffff:a00:5]",
  "[0:0:0:0:0:ffff:0a00:0005]",
  "[::10.0.0.5]",
  "[64:ff9b::a00:5]",
  "[2002:a00:5::1]",
  "[fd12:3456::1]",
  "[fe80::1]",
  "[fe80::1%25lo]",
  "[fe80::1%lo]",
  "[ff02::1]",
  "[2001:0:a00:5::1]",
];
/** Where clouds hand out credentials. */
const METADATA = [
  "169.254.169.254",
  "2852039166",
  "0xa9fea9fe",
  "0251.0376.0251.0376",
  "[::ffff:169.254.169.254]",
  "[fd00:ec2::254]",
  "169.254.170.2",
  "100.100.100.200",
  "168.63.129.16",
  "metadata.google.internal",
  "METADATA.google.internal.",
];
const NAMES = Object.keys(INWARD_ZONE).filter((name) =>
  /^(ten|any|link|ula|mapped|nat64|sixtofour|shared|alias|alias-of-alias)\.test$/.test(name),
);

const bare = (host: string): string => host.replace(/^\[(.*)\]$/, "$1");

/** DNS is asked for names; nothing else may be reached. */
async function expectNothingDialled(host: string): Promise<void> {
  // A name in TLS that is not the host's would be refused for that.
  const sni = /[.](test|internal)[.]?$/.test(host) ? host.toLowerCase().replace(/[.]$/, "") : null;
  const attacks = [connectTls(`${host}:443`, sni, sni ?? "example.com"), socks(bare(host), 443, get("/", "example.com"))];
  const { outcomes, reached } = await fixture.tryAll(open, attacks);
  expect(reached.filter(({ kind }) => kind !== "dns")).toEqual([]);
  expect(outcomes.filter(({ answers, error }) => error === "ECONNREFUSED" || answers.includes("(tls)"))).toEqual([]);
}

test("the public Internet is open to it", async () => {
  await fixture.expectServed(open, connectTls("example.com:443", "example.com", "example.com"));
  await fixture.expectServed(open, connectTls(`${GOOD.v4}:443`, null, "example.com"));
  await fixture.expectServed(open, connectTls(`[${GOOD.v6}]:443`, null, "example.com"));
});

test("what the operator has opened is open", async () => {
  await fixture.expectServed(open, connectTls("10.7.0.1:443", null, "example.com"));
  await fixture.expectServed(open, connectTls("loopback2.test:443", "loopback2.test", "loopback2.test"));
});

describe("addresses that are not on the Internet", () => {
  test.each(ADDRESSES)("%s", expectNothingDialled);
  test.each(METADATA)("metadata at %s", expectNothingDialled);
  test.each(NAMES)("%s, whose address is one", expectNothingDialled);
  test("as bytes of SOCKS5", async () => {
    for (const bytes of [
      [10, 0, 0, 5],
      [169, 254, 169, 254],
      [...Array(10).fill(0), 255, 255, 10, 0, 0, 5],
      [0xfd, ...Array(14).fill(0), 1],
    ]) {
      const { reached } = await fixture.try(open, socks(bytes, 443));
      expect(reached).toEqual([]);
    }
  });
});

describe("names that change their mind", () => {
  test("only the public one of a name's addresses is dialled", async () => {
    const { reached } = await fixture.try(
      open,
      connectTls("public-and-private.test:443", "public-and-private.test", "public-and-private.test"),
    );
    expect(reached.filter(({ kind }) => kind === "tcp")).toEqual([{ kind: "tcp", to: GOOD.v4, port: 443 }]);
  });

  test.each(["rebinds.test", "rebinds-by-alias.test"])("%s: public when first asked, private later", async (name) => {
    const dialled = new Set<string>();
    await until(
      async () => {
        const { outcome, reached } = await fixture.try(open, connectTls(`${name}:443`, name, name));
        for (const each of reached) if (each.kind === "tcp") dialled.add(each.to);
        return /^HTTP\/1\.1 403/.test(outcome.answers[0] ?? "");
      },
      { describe: () => [...dialled] },
    );
    expect([...dialled]).toEqual([GOOD.v4]);
  });
});

describe("the installation's own doors", () => {
  const spellings = [
    "127.0.0.1",
    "localhost",
    "0.0.0.0",
    "127.1",
    "2130706433",
    "0x7f.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "loopback.test",
  ];

  test("are where this test believes them to be", async () => {
    const { port } = fixture.server;
    expect(port).toBe(OWN_PORT);
    expect(await fixture.stage.inside.run("curl", ["-s", "http://127.0.0.1/healthz"])).toMatch(/ok|true|\{/);
  });

  test.each(spellings)("the API at %s", async (host) => {
    const { outcomes } = await fixture.tryAll(open, [
      plainGet(`http://${host}/healthz`),
      connectTo(`${host}:${OWN_PORT}`, get("/healthz", host)),
      socks(bare(host), OWN_PORT, get("/healthz", host)),
    ]);
    expect(outcomes.filter(({ answers, error }) => error === "ECONNREFUSED" || /HTTP\/1\.1 200/.test(answers.join()))).toEqual(
      [],
    );
  });

  test("the gateway itself, through itself", async () => {
    const proxy = await open.bash('echo "$HTTP_PROXY"');
    const port = new URL(proxy).port;
    for (const host of ["127.0.0.1", "localhost"]) {
      const { outcome } = await fixture.try(open, connectTo(`${host}:${port}`, `CONNECT example.com:443 HTTP/1.1\r\n\r\n`));
      expect(outcome.answers[0]).toMatch(/^HTTP\/1\.1 4/);
    }
  });

  test("other ports of the machine, also those of its provider and its databases", async () => {
    for (const port of [5432, 6379, 7001, 8080]) {
      const { outcome, reached } = await fixture.try(open, connectTo(`127.0.0.1:${port}`, get("/", "localhost")));
      expect(reached).toEqual([]);
      expect(outcome.answers[0]).toMatch(/^HTTP\/1\.1 4/);
    }
  });
});

describe("other sessions' sockets", () => {
  test("are not in sight, and the own one says who one is", async () => {
    const closed = await fixture.session({ networking: { type: "limited", allowed_hosts: [] } });
    // The open one is at work, so that its socket is there.
    await fixture.expectServed(open, connectTls("example.com:443", "example.com", "example.com"));
    const sockets = (
      await closed.bash("find / -xdev -type s 2>/dev/null; find /run /tmp /workspace /dev /mnt -type s 2>/dev/null; true")
    ).split("\n");
    const paths = [...new Set(sockets)].filter((path) => path.startsWith("/"));
    expect(paths.length).toBeLessThanOrEqual(1);
    for (const path of [...paths, "/run/sandbox0/egress.sock"]) {
      const { reached } = await fixture.try(closed, {
        try: "talk",
        to: { path },
        say: ["CONNECT example.com:443 HTTP/1.1\r\n\r\n", { tls: "example.com" }, get("/", "example.com")],
      });
      expect(reached).toEqual([]);
    }
    const text = await closed.bash(
      `ls ${fixture.stage.dataDir} 2>&1; for p in /proc/[0-9]*; do ls $p/root${fixture.stage.dataDir} $p/cwd/../egress 2>/dev/null; done; grep -c . /proc/net/unix; echo over`,
    );
    expect(text).toContain("No such file or directory");
    expect(text).toContain("over");
  });

  test("cannot be made, moved or linked in its place", async () => {
    const text = await open.bash(
      "cd /run/sandbox0 && rm -f egress.sock; mv egress.sock x; ln -sf /tmp/x egress.sock; ls -la /run/sandbox0; echo over",
    );
    expect(text).toMatch(/over$/);
    await fixture.expectServed(open, connectTls("example.com:443", "example.com", "example.com"));
  });
});
