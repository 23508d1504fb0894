import { readdirSync } from "node:fs";
import { join } from "node:path";
import { HARNESS_PROGRAMS_DIR, RUNTIME_DIR } from "../layout.ts";
import type { SystemDir } from "./host.ts";

/** What a sandbox's system is made of: the host's, with layers over it. */
export interface SystemPlan {
  /** Below the host's `layersDir`, the first on top. */
  layers: readonly string[];
  /** The layer that this sandbox makes, likewise: what it changes goes to `system/` in there. `null`: it changes nothing. */
  draft: string | null;
}

/** Several directories as one, mounted by the launcher in its own mount namespace; paths are below `layersDir`. */
export interface OverlayMount {
  options: string;
  at: string;
}

export type Bind = (hostPath: string, at: string, writable: boolean) => string[];

interface SystemHost {
  systemDirs: readonly SystemDir[];
  etcDir: string;
  sharedEtc: readonly string[];
  layersDir: string;
}

/** Directories of a layer that lie over nothing: they are whole. */
export const WHOLE_DIRS = ["etc", "var", "opt"] as const;
export const DRAFT_SYSTEM = "system";
/** The overlay file system's own. */
export const DRAFT_WORK = "work";
/** Where overlays are mounted. */
export const VIEWS = "views";
/** What is in `/opt` of every sandbox. */
const OWN_OPT_NAMES = [RUNTIME_DIR, HARNESS_PROGRAMS_DIR].map((path) => path.split("/")[2]);
/** So that programs anywhere find what npm has installed for all. */
const MODULES_LINK = ["--symlink", "usr/local/lib/node_modules", "/node_modules"];
const RUN_BYTES_MAX = 64 * 1024 * 1024;

/**
 * The system's directories as arguments of bwrap, and what must be mounted before it starts. Layers come from sandboxes: the
 * launcher, which is the server's user, must run nothing of theirs, so they are never mounted over the host's own paths.
 */
export function systemView(
  host: SystemHost,
  { layers, draft }: SystemPlan,
  bind: Bind,
): { overlays: OverlayMount[]; args: string[] } {
  const links = host.systemDirs.flatMap(({ path, link }) => (link === null ? [] : ["--symlink", link, path]));
  const dirs = host.systemDirs.filter(({ link }) => link === null).map(({ path }) => path);
  if (layers.length === 0 && draft === null) return { overlays: [], args: [...plainArgs(host, dirs, bind), ...links] };
  const overlays = dirs.map((path) => systemOverlay(path, layers, draft));
  const shown = overlays.flatMap(({ at }, index) => bind(join(host.layersDir, at), dirs[index] ?? "", draft !== null));
  if (draft !== null) return { overlays, args: [...shown, ...links, ...draftArgs(join(host.layersDir, draft), bind)] };
  const merged = layers.length === 1 ? [] : ["etc", "var"].map((name) => mergedOverlay(name, layers));
  const whole = ["etc", "var"].flatMap((name) =>
    bind(join(host.layersDir, merged.length === 0 ? `${layers[0]}/${name}` : `${VIEWS}/${name}`), `/${name}`, false),
  );
  return {
    overlays: [...overlays, ...merged],
    args: [...shown, ...links, ...whole, ...optArgs(host, layers, bind), ...MODULES_LINK],
  };
}

function plainArgs(host: SystemHost, dirs: readonly string[], bind: Bind): string[] {
  return [
    ...dirs.flatMap((path) => ["--ro-bind", path, path]),
    ...bind(host.etcDir, "/etc", false),
    ...host.sharedEtc.flatMap((name) => ["--ro-bind", `/etc/${name}`, `/etc/${name}`]),
    ...["--symlink", "../tmp", "/var/tmp", "--dir", "/run"],
  ];
}

function systemOverlay(path: string, layers: readonly string[], draft: string | null): OverlayMount {
  const name = path.slice(1);
  const lower = [...layers.map((layer) => `${layer}${path}`), path].join(":");
  const upper = `upperdir=${draft}/${DRAFT_SYSTEM}${path},workdir=${draft}/${DRAFT_WORK}${path}`;
  // Attributes of users, so that it is the same for root and for users, and follows no redirections.
  const options = `nosuid,nodev,userxattr,index=off,xino=off,lowerdir=${lower}`;
  return { options: draft === null ? `ro,${options}` : `${options},${upper}`, at: `${VIEWS}/${name}` };
}

function mergedOverlay(name: string, layers: readonly string[]): OverlayMount {
  const lower = layers.map((layer) => `${layer}/${name}`).join(":");
  return { options: `ro,nosuid,nodev,userxattr,index=off,xino=off,lowerdir=${lower}`, at: `${VIEWS}/${name}` };
}

function optArgs(host: SystemHost, layers: readonly string[], bind: Bind): string[] {
  const places = new Map<string, string>();
  for (const dir of layers.map((layer) => join(host.layersDir, layer, "opt"))) {
    for (const name of readdirSync(dir)) if (!places.has(name)) places.set(name, join(dir, name));
  }
  for (const name of OWN_OPT_NAMES) places.delete(name ?? "");
  return ["--dir", "/run", ...[...places].flatMap(([name, path]) => bind(path, `/opt/${name}`, false))];
}

/** Services of a system that is being set up keep their sockets in `/run`, which is no part of it. */
function draftArgs(dir: string, bind: Bind): string[] {
  return [
    ...WHOLE_DIRS.flatMap((name) => bind(join(dir, DRAFT_SYSTEM, name), `/${name}`, true)),
    ...["--size", String(RUN_BYTES_MAX), "--tmpfs", "/run", "--dir", "/run/lock"],
  ];
}
