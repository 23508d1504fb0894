import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { Zone } from "./records.ts";

const run = promisify(execFile);
/** The user's own settings of git have no say. */
const GIT_ENV = {
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_AUTHOR_NAME: "t",
  GIT_AUTHOR_EMAIL: "t@t.test",
  GIT_COMMITTER_NAME: "t",
  GIT_COMMITTER_EMAIL: "t@t.test",
};

/** Hosts of the pretend Internet that serve what package managers ask for, as files. */
export const REGISTRIES = {
  npm: "npm.registry.test",
  pip: "index.registry.test",
  /** Where the pages of `pip` say that the files are. */
  pipFiles: "files.registry.test",
  apt: "apt.registry.test",
  git: "git.registry.test",
};
export const REGISTRY_ZONE: Zone = Object.fromEntries(
  [...Object.values(REGISTRIES), "elsewhere.test"].map((host, index) => [host, { addresses: [`151.101.1.${index + 1}`] }]),
);
/** What the package managers of the server's machine are told. */
export const REGISTRY_ENVIRONMENT = {
  NPM_CONFIG_REGISTRY: `https://${REGISTRIES.npm}/`,
  PIP_INDEX_URL: `https://${REGISTRIES.pip}/simple/`,
};
export const BIG_FILE_BYTES = 64 * 1024 * 1024;

/** A line for apt: whose packages nobody signs. */
export const APT_SOURCE = `deb [trusted=yes] http://${REGISTRIES.apt}/ ./\n`;

/** Fills the directory with one folder a host: packages `hello-npm` (which needs `hello-base`), `hello-pip`, `hello-apt`, `hello.git`. */
export async function writeRegistries(sites: string): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "sandbox0-registries-"));
  try {
    await writeNpmPackage(work, sites, "hello-base", {});
    await writeNpmPackage(work, sites, "hello-npm", { "hello-base": "^1.0.0" });
    // Without Python there is no pip to install it either.
    if (await run("python3", ["--version"]).catch(() => null)) await writeWheel(work, sites);
    await writeGit(work, sites);
    // Without dpkg there is no apt either.
    if (await run("dpkg-deb", ["--version"]).catch(() => null)) await writeDebs(work, sites);
    await put(join(sites, REGISTRIES.git, "big"), Buffer.alloc(BIG_FILE_BYTES, "sandbox0"));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function writeNpmPackage(work: string, sites: string, name: string, dependencies: Record<string, string>): Promise<void> {
  const manifest = { name, version: "1.0.0", main: "index.js", dependencies };
  await put(join(work, name, "package/package.json"), JSON.stringify(manifest));
  const needed = Object.keys(dependencies).map((each) => `require("${each}") + `);
  await put(join(work, name, "package/index.js"), `module.exports = ${needed.join("")}"${name} ";\n`);
  const archive = join(work, `${name}.tgz`);
  await run("tar", ["-czf", archive, "-C", join(work, name), "package"]);
  const bytes = await readFile(archive);
  const file = `${name}/-/${name}-1.0.0.tgz`;
  const dist = {
    tarball: `https://${REGISTRIES.npm}/${file}`,
    integrity: `sha512-${createHash("sha512").update(bytes).digest("base64")}`,
  };
  const packument = { name, "dist-tags": { latest: "1.0.0" }, versions: { "1.0.0": { ...manifest, dist } } };
  await put(join(sites, REGISTRIES.npm, file), bytes);
  await put(join(sites, REGISTRIES.npm, name, "index"), JSON.stringify(packument));
}

async function writeWheel(work: string, sites: string): Promise<void> {
  const info = "hello_pip-1.0.dist-info";
  const files: Record<string, string> = {
    "hello_pip.py": 'print("hello from pip")\n',
    [`${info}/METADATA`]: "Metadata-Version: 2.1\nName: hello-pip\nVersion: 1.0\n",
    [`${info}/WHEEL`]: "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    [`${info}/RECORD`]: "",
  };
  for (const [name, text] of Object.entries(files)) await put(join(work, "wheel", name), text);
  const wheel = "hello_pip-1.0-py3-none-any.whl";
  const path = join(sites, REGISTRIES.pipFiles, wheel);
  await mkdir(dirname(path), { recursive: true });
  await run("python3", ["-m", "zipfile", "-c", path, "hello_pip.py", info], { cwd: join(work, "wheel") });
  const hash = createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
  const link = `<a href="https://${REGISTRIES.pipFiles}/${wheel}#sha256=${hash}">${wheel}</a>`;
  // Where a server looks to learn on which host the files are: the page of pip itself.
  for (const name of ["hello-pip", "pip"])
    await put(join(sites, REGISTRIES.pip, "simple", name, "index"), `<!doctype html>${link}`);
}

/** The second replaces files of the first; both make an account, give files to it, and would start a service. */
const DEBS = [
  { version: "1.0", text: "first" },
  { version: "2.0", text: "second" },
];
const DEB_POSTINST = `#!/bin/sh
set -e
adduser --system --group --no-create-home hello-apt
chown -R hello-apt:hello-apt /var/lib/hello-apt
chmod 4755 /usr/bin/hello-apt
if [ -x /usr/sbin/policy-rc.d ]; then policy-rc.d hello-apt start && echo started >/var/lib/hello-apt/started || true; fi
echo "set up as $(id -u)"
`;

async function writeDebs(work: string, sites: string): Promise<void> {
  const index: string[] = [];
  for (const { version, text } of DEBS) {
    const root = join(work, `hello-apt-${version}`);
    const control = ["Package: hello-apt", `Version: ${version}`, "Architecture: all", "Maintainer: t <t@t.test>"];
    const description = "Description: says hello";
    await put(join(root, "DEBIAN/control"), `${[...control, description].join("\n")}\n`);
    await put(join(root, "DEBIAN/postinst"), DEB_POSTINST);
    await put(join(root, "usr/bin/hello-apt"), `#!/bin/sh\necho hello from apt, ${text}\n`);
    await put(join(root, "var/lib/hello-apt/state"), "state\n");
    await put(join(root, "etc/hello-apt.conf"), "setting\n");
    await run("chmod", ["-R", "u=rwX,go=rX", root]);
    await run("chmod", ["755", join(root, "DEBIAN/postinst"), join(root, "usr/bin/hello-apt")]);
    const file = `hello-apt_${version}_all.deb`;
    const path = join(sites, REGISTRIES.apt, file);
    await mkdir(dirname(path), { recursive: true });
    await run("dpkg-deb", ["--root-owner-group", "--build", root, path]);
    const bytes = await readFile(path);
    const hash = createHash("sha256").update(bytes).digest("hex");
    index.push([...control, `Filename: ./${file}`, `Size: ${bytes.length}`, `SHA256: ${hash}`, description, ""].join("\n"));
  }
  await put(join(sites, REGISTRIES.apt, "Packages"), `${index.join("\n")}\n`);
}

/** For git's plain protocol, which is only files. */
async function writeGit(work: string, sites: string): Promise<void> {
  const repository = join(work, "repository");
  const git = (...args: string[]) => run("git", args, { env: { ...process.env, ...GIT_ENV } });
  await put(join(repository, "README"), "hello from git\n");
  await git("init", "--quiet", "--initial-branch=main", repository);
  await git("-C", repository, "add", "README");
  await git("-C", repository, "commit", "--quiet", "--message", "first");
  const bare = join(sites, REGISTRIES.git, "hello.git");
  await git("clone", "--quiet", "--bare", repository, bare);
  await git("-C", bare, "update-server-info");
}

async function put(path: string, content: string | Buffer): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}
