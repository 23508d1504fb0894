import { setTimeout as sleep } from "node:timers/promises";
import type { GuardedFetch } from "@sandbox0/egress";
import { readStart } from "../resources/read-start.ts";
import { askPackageManagers, type PackageSource, urlsIn } from "./package-managers.ts";

/** Package managers and registries are asked again after this time, and sooner when something did not answer. */
const HOSTS_LIFE_MS = 60 * 60_000;
const HOSTS_RETRY_MS = 60_000;
/**
 * How long the first who asks is held up: for the package managers, which answer in a second or two by themselves and later
 * where a machine is busy, and for registries once those have, which may never answer.
 */
const FIRST_WAITS = { managersMs: 10_000, registriesMs: 2_000 };
/** The same for who needs all of them and has time: an environment is prepared once. */
export const PATIENT_WAITS = { managersMs: 60_000, registriesMs: 60_000 };
const INDEX_TIMEOUT_MS = 10_000;
/** What is read of a registry's answer. */
const INDEX_BYTES_MAX = 512 * 1024;
/** Of cargo's configuration: where files are, and the API. */
const CARGO_URLS_MAX = 2;

export interface PackageHostsOptions {
  /** The operator's (`SANDBOX0_PACKAGE_HOSTS`): hosts or `*.x`. */
  operatorHosts: readonly string[];
  /** Environment of the package managers. */
  env: Readonly<Record<string, string>>;
  fetch: GuardedFetch["fetch"];
  onProblem(problem: unknown): void;
  firstWaits?: typeof FIRST_WAITS;
}

/**
 * The hosts that `allow_package_managers` opens: those that the package managers of this machine are set up to use, where
 * those registries say that their files are, and the operator's. Looked for at first use; later answers may be an hour old.
 * Who asks first waits a while, and then has what is found by then: a registry that is slow to answer holds nobody up, and
 * what nobody has named yet stays shut. Never rejects.
 */
export function createPackageHosts(options: PackageHostsOptions): (waits?: typeof FIRST_WAITS) => Promise<readonly string[]> {
  const { onProblem, firstWaits = FIRST_WAITS } = options;
  let known = distinct(options.operatorHosts);
  let isKnown = false;
  let looking: { managers: Promise<unknown>; all: Promise<void> } | null = null;
  let endsAtMs = 0;
  const downloads = new Map<string, readonly string[]>();
  const look = async (managers: readonly Promise<PackageSource[]>[]): Promise<void> => {
    // Also when it fails: whoever comes next shall not ask again at once.
    endsAtMs = performance.now() + HOSTS_RETRY_MS;
    let found = distinct(options.operatorHosts);
    const isComplete = await findHosts(options, managers, downloads, (hosts) => {
      found = distinct([...found, ...hosts]);
      // What was known before is better than a part of what will be.
      if (!isKnown) known = found;
    });
    known = found;
    isKnown = true;
    endsAtMs = performance.now() + (isComplete ? HOSTS_LIFE_MS : HOSTS_RETRY_MS);
  };
  const startLooking = () => {
    const managers = askPackageManagers(options.env);
    const all = look(managers)
      .catch(onProblem)
      .finally(() => {
        looking = null;
      });
    return { managers: Promise.allSettled(managers), all };
  };
  return async (waits = firstWaits) => {
    if (performance.now() >= endsAtMs) looking ??= startLooking();
    if (!isKnown && looking !== null) {
      const { managers, all } = looking;
      await Promise.race([managers, sleep(waits.managersMs, undefined, { ref: false })]);
      await Promise.race([all, sleep(waits.registriesMs, undefined, { ref: false })]);
    }
    return known;
  };
}

const distinct = (hosts: readonly string[]): readonly string[] => [...new Set(hosts.map((host) => host.toLowerCase()))];

/**
 * Tells of hosts as soon as they are found. @returns whether every registry has answered
 * @param downloads where each registry has said that its files are, for when it does not answer
 */
async function findHosts(
  options: PackageHostsOptions,
  managers: readonly Promise<PackageSource[]>[],
  downloads: Map<string, readonly string[]>,
  onHosts: (hosts: readonly string[]) => void,
): Promise<boolean> {
  let isComplete = true;
  const askRegistry = async (source: PackageSource): Promise<void> => {
    try {
      downloads.set(source.url, await downloadHosts(options.fetch, source));
    } catch (error) {
      isComplete = false;
      const reason = error instanceof Error ? error.message : String(error);
      options.onProblem(
        new Error(`${source.manager}: its registry ${hostOf(source.url)} does not say where its files are: ${reason}`),
      );
    }
    onHosts(downloads.get(source.url) ?? []);
  };
  const askManager = async (answer: Promise<PackageSource[]>): Promise<void> => {
    const sources = await answer.catch((error: unknown) => {
      isComplete = false;
      options.onProblem(error);
      return [];
    });
    onHosts(sources.map(({ url }) => hostOf(url)));
    await Promise.all(sources.map(askRegistry));
  };
  await Promise.all(managers.map(askManager));
  return isComplete;
}

/** Some indexes keep the files themselves on another host: pip's pages link there, and cargo's configuration names it. */
async function downloadHosts(fetch: GuardedFetch["fetch"], { manager, url }: PackageSource): Promise<string[]> {
  const page = manager === "pip" ? "pip/" : manager === "cargo" ? "config.json" : null;
  if (page === null) return [];
  const target = new URL(page, url.endsWith("/") ? url : `${url}/`);
  const headers = { accept: "application/vnd.pypi.simple.v1+html, text/html;q=0.5, */*;q=0.1", ...loginOf(target) };
  // fetch takes no such URLs, and quotes them in its error.
  [target.username, target.password] = ["", ""];
  const response = await fetch(target, { headers, signal: AbortSignal.timeout(INDEX_TIMEOUT_MS) });
  const text = (await readStart(response, INDEX_BYTES_MAX)).bytes.toString("utf8");
  if (!response.ok) throw new Error(`status ${response.status}`);
  return manager === "pip" ? mostLinked(text) : urlsIn(text).slice(0, CARGO_URLS_MAX).map(hostOf);
}

function loginOf({ username, password }: URL): { authorization?: string } {
  if (username === "" && password === "") return {};
  const login = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`);
  return { authorization: `Basic ${login.toString("base64")}` };
}

/** Old packages link to all the world: only the host that most files are on is the index's own. */
function mostLinked(page: string): string[] {
  const counts = new Map<string, number>();
  for (const [, link = ""] of page.matchAll(/href="(https?:[^"#]*)/g)) {
    if (URL.canParse(link)) counts.set(hostOf(link), (counts.get(hostOf(link)) ?? 0) + 1);
  }
  const [most] = [...counts].sort(([, a], [, b]) => b - a);
  return most === undefined ? [] : [most[0]];
}

function hostOf(url: string): string {
  return new URL(url).hostname;
}
