import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";

const COMPOSE = "compose.yaml";
const COMPOSE_ENV = "packaging/docker/env.example";
const UNIT = "packaging/systemd/sandbox0.service";
const UNIT_ENV = "packaging/systemd/sandbox0.env.example";
const SECCOMP = "packaging/docker/seccomp.json";
/** What bubblewrap and the launcher before it call to make a sandbox. */
const CALLS_OF_BUBBLEWRAP = ["unshare", "clone", "mount", "umount2", "pivot_root", "sethostname", "prctl", "seccomp", "setns"];

const read = (path: string): string => readFileSync(path, "utf8");
const all = (text: string, pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, name = ""]) => name);

interface Service {
  security_opt?: string[];
  volumes: string[];
  depends_on?: Record<string, { condition: string }>;
}

test("what compose.yaml asks for stands in its example, and what it names is there", () => {
  const offered = all(read(COMPOSE_ENV), /^([A-Z0-9_]+)=/gm);
  expect(new Set(all(read(COMPOSE), /\$\{([A-Z0-9_]+)/g))).toEqual(new Set(offered));
  const { services, volumes } = parse(read(COMPOSE), { merge: true }) as {
    services: Record<string, Service>;
    volumes: Record<string, null>;
  };
  expect(Object.keys(services)).toEqual(["postgres", "server", "server-2"]);
  for (const service of Object.values(services)) {
    expect(Object.keys(volumes)).toEqual(expect.arrayContaining(service.volumes.map((volume) => volume.split(":")[0])));
  }
  for (const server of [services.server, services["server-2"]]) {
    expect(server?.depends_on).toEqual({ postgres: { condition: "service_healthy" } });
    expect(server?.security_opt).toContain(`seccomp=${SECCOMP}`);
  }
});

test("every variable of the examples, the compose file and the unit is one that the server reads", () => {
  const config = read("packages/server/src/main/config.ts");
  const text = [COMPOSE, COMPOSE_ENV, UNIT, UNIT_ENV, "Dockerfile"].map(read).join("\n");
  const names = new Set(all(text, /\b(SANDBOX0_[A-Z0-9_]+|DATABASE_URL|ANTHROPIC_API_KEY|OPENAI_API_KEY)\b/g));
  expect(names.size).toBeGreaterThan(8);
  expect([...names].filter((name) => !config.includes(name))).toEqual([]);
});

test("no secret is in the examples, and none is baked into the image", () => {
  for (const path of [COMPOSE_ENV, UNIT_ENV]) expect(read(path)).not.toMatch(/^\w*(KEY|PASSWORD)=\S/m);
  expect(read("Dockerfile")).not.toMatch(/^(ARG|ENV|\s+)\s*\w*(KEY|PASSWORD|TOKEN)/m);
});

test("the container's filter allows what bubblewrap does", () => {
  const { defaultAction, syscalls } = JSON.parse(read(SECCOMP)) as { defaultAction: string; syscalls: { names: string[] }[] };
  expect(defaultAction).toBe("SCMP_ACT_ALLOW");
  const denied = new Set(syscalls.flatMap(({ names }) => names));
  expect(CALLS_OF_BUBBLEWRAP.filter((name) => denied.has(name))).toEqual([]);
  expect(denied.size).toBeGreaterThan(30);
});

test("the unit starts files that the package has, where npm puts them", () => {
  const [program = "", door = ""] = /^ExecStart=(\S+) (\S+) serve$/m.exec(read(UNIT))?.slice(1) ?? [];
  expect(program).toBe("/opt/sandbox0/node_modules/.bin/node");
  const inPackage = "/opt/sandbox0/node_modules/sandbox0/";
  expect(door.startsWith(inPackage)).toBe(true);
  expect(existsSync(join(".", door.slice(inPackage.length)))).toBe(true);
});
