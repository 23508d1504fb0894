import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createSandboxPool, type ClaimedSandbox, type SandboxPool } from "../pool.ts";
import type { OpenEgress } from "../port.ts";
import { runCommand } from "../testing/run-command.ts";
import { createBubblewrapDriver } from "./driver.ts";

const LIMITS = { memoryBytesMax: 512 * 1024 ** 2, processesMax: 128 };
const POLL = { timeout: 60_000 };
/** An authority's certificate only has to be found again: nothing checks it here. */
const [GATEWAY_CA = ""] = rootCertificates;

let dir: string;
let pool: SandboxPool;
let sessions = 0;
const listening = new Map<string, Server>();

/** A gateway that knows nothing but who asks: it answers each line with the sandbox's id and what was said. */
const openEgress: OpenEgress = async (sandboxId, socketPath) => {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => sockets.delete(socket));
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.once("end", () => socket.end(`${sandboxId} ${Buffer.concat(chunks).length} ${Buffer.concat(chunks)}`));
  });
  server.listen(socketPath);
  await once(server, "listening");
  listening.set(sandboxId, server);
  return {
    close: async () => {
      listening.delete(sandboxId);
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
};

beforeAll(async () => {
  // Longer than the address of a socket may be.
  dir = join(await mkdtemp(join(tmpdir(), "sandbox0-egress-")), "a".repeat(60), "b".repeat(60));
  const driver = createBubblewrapDriver({ dir, egressCa: GATEWAY_CA });
  pool = await createSandboxPool(driver, { dir, limits: LIMITS, warmCount: 0, openEgress });
}, 120_000);

afterAll(async () => {
  await pool.close();
  await rm(join(dir, "../.."), { recursive: true, force: true });
  expect(listening.size).toBe(0);
});

const claim = (): Promise<ClaimedSandbox> => pool.claim(`sesn_${++sessions}`, null);

async function bash({ tools }: ClaimedSandbox, command: string): Promise<string> {
  const { content } = await tools.call("bash", { command, timeout_ms: 60_000 });
  return content.map((block) => (block.type === "text" ? block.text : "")).join("");
}

/** Says something to the proxy, closes that half, and prints the answer. */
const SAY = "say() { socat -t 60 STDIO TCP4:127.0.0.1:3128; }; ";

describe("a sandbox with a way out", { timeout: 120_000 }, () => {
  test("reaches the gateway through its own loopback, in the shell and in every command, at once", async () => {
    const claimed = await claim();
    expect(await bash(claimed, `${SAY} printf hello | say`)).toBe(`${claimed.sandbox.id} 5 hello`);
    const results = await Promise.all(Array.from({ length: 8 }, () => runCommand(claimed.sandbox, `${SAY} printf hello | say`)));
    expect(results.map(({ stdout }) => stdout)).toEqual(results.map(() => `${claimed.sandbox.id} 5 hello`));
  });

  test("carries many connections and large bodies", async () => {
    const claimed = await claim();
    const many = `${SAY} for i in $(seq 40); do printf $i | say & done; wait`;
    expect((await bash(claimed, many)).split(claimed.sandbox.id)).toHaveLength(41);
    expect(await bash(claimed, `${SAY} head -c 30000000 /dev/zero | say 2>/dev/null | head -c 60 | cut -d' ' -f2`)).toBe(
      "30000000",
    );
  });

  test("has the proxy and the authorities in its environment and where the system keeps them", async () => {
    const claimed = await claim();
    expect(await bash(claimed, 'echo "$HTTPS_PROXY $https_proxy $ALL_PROXY $NODE_USE_ENV_PROXY"')).toBe(
      "http://127.0.0.1:3128 http://127.0.0.1:3128 http://127.0.0.1:3128 1",
    );
    const variables = [
      "SSL_CERT_FILE",
      "CURL_CA_BUNDLE",
      "GIT_SSL_CAINFO",
      "NODE_EXTRA_CA_CERTS",
      "npm_config_cafile",
      "PIP_CERT",
    ];
    const line = GATEWAY_CA.split("\n")[3] ?? "";
    for (const file of [...variables.map((name) => `$${name}`), "/etc/ssl/certs/ca-certificates.crt"]) {
      expect(await bash(claimed, `grep -c -F '${line}' "${file}" | sed 's/[1-9].*/found/'`)).toBe("found");
    }
    expect(await bash(claimed, "echo x >> $SSL_CERT_FILE; cat /etc/resolv.conf")).toMatch(/Permission denied$/);
  });

  test("shows one sandbox the socket of no other, and nobody on the host a way in", async () => {
    const [a, b] = [await claim(), await claim()];
    expect(await bash(a, "find / -path /proc -prune -o -name '*.sock' -print 2>/dev/null")).toBe("/run/sandbox0/egress.sock");
    expect(await bash(a, `find / 2>/dev/null | grep -c ${b.sandbox.id}`)).toBe("0");
    expect(await bash(b, "stat -c '%a %U' /run/sandbox0/egress.sock")).toBe("600 agent");
    expect(
      await bash(a, `ls -a /run/sandbox0; mv /run/sandbox0/egress.sock /tmp 2>&1; rm -f /run/sandbox0/egress.sock 2>&1`),
    ).toMatch(/Read-only|busy/);
  });

  test("whoever ends its forwarder cuts off that command alone", async () => {
    const [a, b] = [await claim(), await claim()];
    const gone = "pkill -9 socat; while pgrep -x socat > /dev/null; do sleep 0.01; done; ";
    expect(await bash(a, `${gone}${SAY} printf hello | say 2>&1`)).toMatch(/Connection refused/);
    expect(await bash(b, `${SAY} printf hello | say`)).toBe(`${b.sandbox.id} 5 hello`);
    expect((await runCommand(a.sandbox, `${SAY} printf hello | say`)).stdout).toBe(`${a.sandbox.id} 5 hello`);
    await a.tools.call("bash", { restart: true });
    expect(await bash(a, `${SAY} printf hello | say`)).toBe(`${a.sandbox.id} 5 hello`);
  });

  test("keeps its way out while a command is told to end", async () => {
    const claimed = await claim();
    const script = `${SAY} trap 'printf bye | say; exit 3' TERM; echo ready; while :; do sleep 0.1; done`;
    const child = await claimed.sandbox.exec(["/bin/bash", "--norc", "-c", script]);
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    await expect.poll(() => text, POLL).toBe("ready\n");
    child.kill("SIGTERM");
    expect(await child.exited).toEqual({ code: 3, signal: null });
    expect(text).toContain(`${claimed.sandbox.id} 3 bye`);
  });

  test("leaves no child of ours to the command, and nothing behind when it ends", async () => {
    const claimed = await claim();
    const child = await runCommand(
      claimed.sandbox,
      "read -r children < /proc/$$/task/$$/children; echo $children; wait -n; echo $?",
    );
    expect(child).toMatchObject({ stdout: "\n127\n", stderr: "", code: 0 });
  });

  test("gives no way out to the file tools, nor to commands that need none", async () => {
    const claimed = await claim();
    const { stdout } = await runCommand(claimed.sandbox, "ls /run; echo proxy=$http_proxy; pgrep socat", { network: false });
    expect(stdout).toBe("proxy=\n");
  });

  test("knows whose it is from the claim to its end", async () => {
    const claimed = await claim();
    expect(pool.sessionOf(claimed.sandbox.id)).toBe(`sesn_${sessions}`);
    expect(listening.has(claimed.sandbox.id)).toBe(true);
    await pool.discard(`sesn_${sessions}`);
    expect(pool.sessionOf(claimed.sandbox.id)).toBeNull();
    expect(listening.has(claimed.sandbox.id)).toBe(false);
  });
});

test("a warm sandbox has its socket before anybody has it, and no session", { timeout: 120_000 }, async () => {
  const warm = await createSandboxPool(createBubblewrapDriver({ dir }), { dir, limits: LIMITS, warmCount: 1, openEgress });
  await expect.poll(() => warm.stats().warm, POLL).toBe(1);
  const [sandboxId = ""] = [...listening.keys()].filter((id) => pool.sessionOf(id) === null);
  expect(warm.sessionOf(sandboxId)).toBeNull();
  const claimed = await warm.claim("sesn_warm", null);
  expect(claimed).toMatchObject({ source: "warm", sandbox: { id: sandboxId } });
  expect(warm.sessionOf(sandboxId)).toBe("sesn_warm");
  expect(await bash(claimed, `${SAY} printf hello | say`)).toBe(`${sandboxId} 5 hello`);
  await warm.close();
});

test("without a gateway there is no sandbox, and nothing is left of the attempt", async () => {
  const refusing = () => Promise.reject(new Error("no descriptors left"));
  const closed = await createSandboxPool(createBubblewrapDriver({ dir }), { dir, warmCount: 0, openEgress: refusing });
  await expect(closed.claim("sesn_x", null)).rejects.toThrow(/egress gateway gives the sandbox no socket: no descriptors left/);
  await closed.close();
});

describe("the environment of a session", { timeout: 120_000 }, () => {
  test("reaches the next command, and leaves again", async () => {
    const claimed = await claim();
    expect(await bash(claimed, "KEPT=1; echo :$TOKEN")).toBe(":");
    claimed.tools.setEnvironment({ TOKEN: "it's $HOME", OTHER: "x" });
    expect(await bash(claimed, "echo $TOKEN; sh -c 'echo $OTHER'")).toBe("it's $HOME\nx");
    claimed.tools.setEnvironment({ TOKEN: "next" });
    expect(await bash(claimed, 'echo $TOKEN; echo "[$OTHER]"; echo $KEPT')).toBe("next\n[]\n1");
    await claimed.tools.call("bash", { restart: true });
    expect(await bash(claimed, "sh -c 'echo $TOKEN'")).toBe("next");
  });

  test("takes no name that a shell would read as something else", async () => {
    const claimed = await claim();
    expect(() => claimed.tools.setEnvironment({ "A=1; touch x;B": "" })).toThrow(/not an environment variable/);
  });
});
