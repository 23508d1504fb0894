import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
/** They answer in a second; a machine that has far too much to do gets them there too. */
const TOOL_TIMEOUT_MS = 60_000;
const OUTPUT_BYTES_MAX = 1024 * 1024;
const URL_PATTERN = /https?:\/\/[^\s"'<>|,)\\]+/g;

/** Where a package manager of this machine gets packages from. */
export interface PackageSource {
  manager: "apt" | "cargo" | "gem" | "go" | "npm" | "pip";
  /** An index, registry or mirror. */
  url: string;
}

type Ask = (file: string, args: readonly string[], env?: Readonly<Record<string, string>>) => Promise<string>;

/**
 * Asks each package manager that is installed here where it would go, mirrors of its configuration included: nothing is
 * known here by name. One that is missing has no sources, one that does not answer rejects; none waits for another.
 * @param env what the package managers are run with: `PATH`, `HOME` and their own variables
 */
export function askPackageManagers(env: Readonly<Record<string, string>>): Promise<PackageSource[]>[] {
  const ask: Ask = async (file, args, more = {}) => {
    const options = { env: { ...env, LC_ALL: "C", ...more }, timeout: TOOL_TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX, cwd: "/" };
    return run(file, [...args], options).then(
      ({ stdout }) => stdout,
      (error: Error & { killed?: boolean }) => {
        if (error.killed === true) throw new Error(`${file} did not say in ${TOOL_TIMEOUT_MS} ms where it gets packages from`);
        // Not installed, or of a version that does not know the question.
        return "";
      },
    );
  };
  const of = async (manager: PackageSource["manager"], text: Promise<string>): Promise<PackageSource[]> =>
    urlsIn(await text).map((url) => ({ manager, url }));
  return [
    of("npm", npmUrls(ask)),
    of("pip", pipUrls(ask)),
    // Also where it has no lists yet, which `indextargets` goes by.
    of("apt", ask("apt-get", ["update", "--print-uris"])),
    of("go", goUrls(ask)),
    of("gem", ask("gem", ["sources"])),
    of("cargo", cargoUrls(ask, env)),
  ];
}

export function urlsIn(text: string): string[] {
  return [...new Set(text.match(URL_PATTERN) ?? [])].filter((url) => URL.canParse(url));
}

/** The registry and those of scopes. */
async function npmUrls(ask: Ask): Promise<string> {
  const text = await ask("npm", ["config", "ls", "--long", "--json"]);
  const settings = Object.entries(parseObject(text));
  return settings.flatMap(([name, value]) => (/(^|:)registry$/.test(name) ? [String(value)] : [])).join("\n");
}

/** What is no JSON has no settings. */
function parseObject(text: string): object {
  try {
    return Object(JSON.parse(text)) as object;
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

/** What is configured, or else the default, which only its help tells. */
async function pipUrls(ask: Ask): Promise<string> {
  const list = await ask("pip", ["config", "list"]);
  const lines = list.split("\n").filter((line) => /(^|[.-])(index-url|find-links)=/.test(line));
  if (lines.some((line) => /[.]index-url=/.test(line))) return lines.join("\n");
  const help = (await ask("pip", ["install", "--help"])).replaceAll(/\s+/g, " ");
  return [...lines, /--index-url <url> [^(]*\(default (\S+)\)/.exec(help)?.[1] ?? ""].join("\n");
}

/** The checksum database may be given as a bare name, with a key, or with a URL. */
async function goUrls(ask: Ask): Promise<string> {
  const [proxies = "", database = ""] = (await ask("go", ["env", "GOPROXY", "GOSUMDB"])).split("\n");
  const [name = ""] = (database.split(" ").at(-1) ?? "").split("+");
  const isName = /^[a-z0-9.-]+[.][a-z]+$/i.test(name);
  return `${proxies.replaceAll(/[|,]/g, "\n")}\n${isName ? `https://${name}` : database}`;
}

/** Of its configuration file; without one, the place that it asks a proxy for. */
async function cargoUrls(ask: Ask, env: Readonly<Record<string, string>>): Promise<string> {
  const home = env.CARGO_HOME ?? join(env.HOME ?? homedir(), ".cargo");
  const files = ["config.toml", "config"].map((name) => readFile(join(home, name), "utf8").catch(() => ""));
  const lines = (await Promise.all(files)).join("\n").split("\n");
  const configured = lines.filter((line) => /^\s*(registry|index)\s*=/.test(line)).join("\n");
  return urlsIn(configured).length > 0 ? configured : overheard(ask);
}

/** Cargo prints its default index nowhere: a proxy that leads nowhere hears where it wants to go. */
async function overheard(ask: Ask): Promise<string> {
  const heard = new Set<string>();
  const proxy = createServer((_, response) => response.writeHead(502).end());
  proxy.on("connect", (request, socket) => {
    // Cargo hangs up as it likes.
    socket.on("error", () => socket.destroy());
    if (/^[a-z0-9.-]+:443$/i.test(request.url ?? "")) heard.add(`https://${request.url?.split(":")[0]}`);
    socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const home = await mkdtemp(join(tmpdir(), "sandbox0-cargo-"));
  try {
    const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const env = { CARGO_HTTP_PROXY: url, CARGO_HOME: home, CARGO_NET_RETRY: "0" };
    await ask("cargo", ["search", "--limit", "1", "sandbox0"], env);
    return [...heard].join("\n");
  } finally {
    proxy.close();
    await rm(home, { recursive: true, force: true });
  }
}
