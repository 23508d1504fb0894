import { lstatSync, readlinkSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { SandboxError } from "../port.ts";

/**
 * bwrap follows links also in places that it mounts at, and makes what is not there, at a time when it still sees the host: in
 * a layer nothing may lead away from them. A link that the host has itself is no layer's.
 * @param systemDir of a layer that nobody can change any more
 * @param places files that bwrap shows over those of the system
 * @throws SandboxError `unavailable`
 */
export function checkPlaces(systemDir: string, places: readonly string[]): void {
  checkWays(
    systemDir,
    places.flatMap((place) => [place, hostPath(place)]),
    linkAt,
  );
}

/** The same for an image, and layers over one, in which the host has no part. */
export function checkImagePlaces(systemDir: string, places: readonly string[]): void {
  checkWays(systemDir, places, () => null);
}

function checkWays(systemDir: string, places: readonly string[], hostLink: (path: string) => string | null): void {
  for (const path of new Set(places.flatMap(parentsAndSelf))) {
    const link = linkAt(join(systemDir, path));
    if (link === null || link === hostLink(path)) continue;
    throw new SandboxError("unavailable", `no sandbox starts with it: ${path} is a link`);
  }
}

/** Where the host's own links lead. */
function hostPath(place: string): string {
  return lstatSync(place, { throwIfNoEntry: false }) === undefined ? place : realpathSync(place);
}

function parentsAndSelf(path: string): string[] {
  return path === "/" ? [] : [...parentsAndSelf(dirname(path)), path];
}

function linkAt(path: string): string | null {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? readlinkSync(path) : null;
}
