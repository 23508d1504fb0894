import { readFileSync } from "node:fs";
import { HARNESS_PROGRAMS_DIR, RUNTIME_DIR } from "../../layout.ts";
import { SYSTEM_CA_PLACES } from "../ca-bundle.ts";
import { ACCOUNT_LINES, NAME_FILES } from "../etc-files.ts";
import { APT_SETTINGS } from "../layer-seed.ts";
import { IMAGE_BASH } from "./image-base.ts";
import { ImageError } from "./image-error.ts";
import { type ImageTree, type Names, namesOf, show } from "./image-tree.ts";

/** What the driver shows by its name: whatever else an image has there. */
const NEEDED_DIRS = ["etc", "opt", "usr", "var"];
/** May also be links, into `/usr`, or not there. */
const PROGRAM_DIRS = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
const ROOT_NAMES_MAX = 256;
const ACCOUNTS_BYTES_MAX = 1024 * 1024;
const ENV_BYTES_MAX = 64 * 1024;
const VARIABLE = /^([A-Za-z_][A-Za-z0-9_]*)=([^\0]*)$/s;
/** Not the image's to say: who the user is, and what would be loaded into the server's own programs. */
const OWN_VARIABLES = ["HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "LD_PRELOAD", "LD_AUDIT", "NODE_OPTIONS", "BASH_ENV", "ENV"];

/** What the driver must know of an image that is unpacked. */
export interface ImageFacts {
  /** Of its manifest. */
  digest: string;
  /** Of every process, before the sandbox's own. */
  env: Readonly<Record<string, string>>;
  /** Files at which the certificates of the egress gateway are shown. */
  caPlaces: readonly string[];
  /** Where `/bin/bash` is, no links in between. */
  bashAt: string;
}

/**
 * Makes of an image's files the root of a sandbox: with its user and settings, places to mount at, and the server's own bash.
 * @throws ImageError
 */
export async function finishRoot(tree: ImageTree): Promise<Pick<ImageFacts, "caPlaces" | "bashAt">> {
  for (const name of NEEDED_DIRS) {
    if (tree.at([name]) === null) tree.placeDir([name]);
    if (tree.at([name])?.isDirectory() !== true) throw new ImageError(`its /${name} is no directory`);
  }
  for (const name of PROGRAM_DIRS) {
    if (tree.at([name]) !== null && tree.findDir([name]) === null) tree.makeDir([name]);
  }
  if (tree.list([]).length > ROOT_NAMES_MAX) throw new ImageError(`its / has more than ${ROOT_NAMES_MAX} entries`);
  const bashAt = placeShells(tree);
  await placeSettings(tree);
  for (const path of [RUNTIME_DIR, HARNESS_PROGRAMS_DIR]) {
    tree.remove(namesOf(path));
    tree.placeDir(namesOf(path));
  }
  tree.placeLink(["var", "tmp"], "../tmp");
  return { caPlaces: await placeAuthorities(tree), bashAt };
}

/** @param variables `NAME=value` */
export function sandboxEnv(variables: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {};
  let bytes = 0;
  for (const variable of variables) {
    const [, name = "", value = ""] = VARIABLE.exec(variable) ?? [];
    bytes += variable.length;
    if (name !== "" && !OWN_VARIABLES.includes(name)) env[name] = value;
  }
  if (bytes > ENV_BYTES_MAX) throw new ImageError(`its variables have more than ${ENV_BYTES_MAX} bytes`);
  return env["PATH"] === undefined ? env : { ...env, PATH: `${env["PATH"]}:${RUNTIME_DIR}/bin` };
}

/** Its own bash would have to be there, and to run: the server's does in all images. */
function placeShells(tree: ImageTree): string {
  const bin = tree.makeDir(["bin"]);
  const bash = [...bin, "bash"];
  tree.placeLink(bash, IMAGE_BASH);
  if (!leadsToFile(tree, [...bin, "sh"])) tree.placeLink([...bin, "sh"], IMAGE_BASH);
  return show(bash);
}

function leadsToFile(tree: ImageTree, names: Names): boolean {
  const entry = tree.at(names);
  return entry?.isFile() === true || entry?.isSymbolicLink() === true;
}

async function placeSettings(tree: ImageTree): Promise<void> {
  const accounts = { passwd: withAccounts(tree, "passwd"), group: withAccounts(tree, "group") };
  for (const [name, content] of Object.entries({ ...NAME_FILES, ...accounts })) await placeText(tree, ["etc", name], content);
  tree.placeLink(["etc", "mtab"], "/proc/self/mounts");
  const apt = tree.findDir(["etc", "apt"]);
  if (apt === null) return;
  await placeText(tree, [...tree.makeDir([...apt, "apt.conf.d"]), "99sandbox0"], APT_SETTINGS);
}

/** The image's, with the sandbox's own user: who has its number in the image is another name for it. */
function withAccounts(tree: ImageTree, name: "passwd" | "group"): string {
  const entry = tree.at(["etc", name]);
  const isText = entry?.isFile() === true && entry.size <= ACCOUNTS_BYTES_MAX;
  const own: readonly string[] = ACCOUNT_LINES[name];
  const names = own.map((line) => line.split(":")[0]);
  const lines = isText ? readFileSync(tree.path(["etc", name]), "utf8").split("\n") : [];
  const others = lines.filter((line) => line.includes(":") && !names.includes(line.split(":")[0]));
  return [...own, ...others, ""].join("\n");
}

async function placeText(tree: ImageTree, names: Names, content: string): Promise<void> {
  await tree.placeFile(names, [Buffer.from(content)] as unknown as AsyncIterable<Buffer>);
}

/** Where no link leads: what is mounted there is mounted just there. */
async function placeAuthorities(tree: ImageTree): Promise<string[]> {
  const places = [];
  for (const path of SYSTEM_CA_PLACES) places.push(await placeAuthority(tree, namesOf(path)));
  return places.filter((place) => place !== null);
}

async function placeAuthority(tree: ImageTree, names: Names): Promise<string | null> {
  const isDebian = names[1] === "ssl";
  for (let length = 1; length < names.length; length++) {
    const dir = names.slice(0, length);
    if (tree.at(dir) === null && isDebian) tree.placeDir(dir);
    if (tree.at(dir)?.isDirectory() !== true) return null;
  }
  if (tree.at(names) === null && isDebian) await placeText(tree, names, "");
  return tree.at(names)?.isFile() === true ? show(names) : null;
}
