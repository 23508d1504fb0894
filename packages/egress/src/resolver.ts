import { Resolver } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import type { Address } from "./address-facts.ts";

export type Resolve = (name: string) => Promise<readonly Address[]>;

const HOSTS_FILE = "/etc/hosts";
/** The DNS servers and the hosts file are read anew this often: a server outlives the network it started in. */
const CONFIGURATION_LIFE_MS = 10_000;
/** Answers are kept this long, so that a burst of connections to one host asks once. */
const ANSWER_LIFE_MS = 5_000;
const ANSWERS_MAX = 4_096;
const QUERY_TIMEOUT_MS = 3_000;
const QUERY_TRIES = 2;

interface Configuration {
  resolver: Resolver;
  hosts: ReadonlyMap<string, readonly Address[]>;
}

interface Aged<T> {
  value: Promise<T>;
  staleAt: number;
}

/**
 * Names to addresses by the hosts file and the DNS servers of this machine. Not by `getaddrinfo`: that holds a thread of
 * Node's small pool while it waits, so one sandbox with slow names would stop the file system for all; and it would append
 * search domains to names that a policy means as they are. Rejects with the error of `node:dns` (`ENOTFOUND`, `ETIMEOUT` …).
 */
export const createResolver = (options: { servers?: readonly string[]; hostsFile?: string } = {}): Resolve => {
  const answers = new Map<string, Aged<readonly Address[]>>();
  let configuration: Aged<Configuration> | null = null;
  const configured = (): Promise<Configuration> => {
    if (!configuration || configuration.staleAt < performance.now()) {
      const value = loadConfiguration(options.servers, options.hostsFile ?? HOSTS_FILE);
      configuration = { value, staleAt: performance.now() + CONFIGURATION_LIFE_MS };
    }
    return configuration.value;
  };
  return (name) => {
    const known = answers.get(name);
    if (known && known.staleAt > performance.now()) return known.value;
    answers.delete(name);
    const oldest = answers.size < ANSWERS_MAX ? undefined : answers.keys().next().value;
    if (oldest !== undefined) answers.delete(oldest);
    const value = configured().then((with_) => query(with_, name));
    answers.set(name, { value, staleAt: performance.now() + ANSWER_LIFE_MS });
    // A failure is not kept: the next connection asks again.
    value.catch(() => answers.get(name)?.value === value && answers.delete(name));
    return value;
  };
};

const loadConfiguration = async (servers: readonly string[] | undefined, hostsFile: string): Promise<Configuration> => {
  const resolver = new Resolver({ timeout: QUERY_TIMEOUT_MS, tries: QUERY_TRIES });
  if (servers) resolver.setServers(servers);
  return { resolver, hosts: parseHosts(await readHosts(hostsFile)) };
};

const readHosts = async (path: string): Promise<string> => {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    // Minimal images have none.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
};

const parseHosts = (text: string): ReadonlyMap<string, readonly Address[]> => {
  const hosts = new Map<string, Address[]>();
  for (const line of text.split("\n")) {
    const [address = "", ...names] = (line.split("#")[0] ?? "").trim().split(/\s+/);
    const family = isIP(address);
    if (family !== 4 && family !== 6) continue;
    for (const name of names.map((each) => each.toLowerCase()))
      hosts.set(name, [...(hosts.get(name) ?? []), { address, family }]);
  }
  return hosts;
};

const query = async ({ resolver, hosts }: Configuration, name: string): Promise<readonly Address[]> => {
  const written = hosts.get(name);
  if (written) return written;
  const [v6, v4] = await Promise.allSettled([resolver.resolve6(name), resolver.resolve4(name)]);
  const found = [...addresses(v6, 6), ...addresses(v4, 4)];
  if (found.length > 0) return found;
  throw v4.status === "rejected" ? v4.reason : Object.assign(new Error("no addresses"), { code: "ENODATA" });
};

const addresses = (answer: PromiseSettledResult<string[]>, family: 4 | 6): Address[] =>
  answer.status === "fulfilled" ? answer.value.map((address) => ({ address, family })) : [];
