import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { HARNESS_PROGRAMS_DIR, RUNTIME_DIR } from "../../layout.ts";
import { SandboxError } from "../../port.ts";
import { SYSTEM_CA_PLACES } from "../ca-bundle.ts";
import { checkImagePlaces } from "../check-places.ts";
import type { ImageFacts } from "./finish-root.ts";
import type { ImageBase } from "./image-base.ts";
import { ROOT_NAME } from "./unpack-image.ts";

/** In a finished image, beside `ROOT_NAME`. */
const FACTS_NAME = "image.json";
/** In a layer over an image: the image's name. */
const BASE_NAME = "base";
const BASH_AT = /^(?:\/[A-Za-z0-9][A-Za-z0-9._-]*){1,8}\/bash$/;
const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** What was unpacked, as it may be mounted. @param text what the unpacker, which nobody has to trust, says of it @throws SandboxError */
export function parseFacts(text: string): ImageFacts {
  const found = readJson(text) as Partial<ImageFacts> | null;
  const env = Object.entries(found?.env ?? {});
  const isFit =
    typeof found?.digest === "string" &&
    typeof found.bashAt === "string" &&
    BASH_AT.test(found.bashAt) &&
    Array.isArray(found.caPlaces) &&
    found.caPlaces.every((place) => SYSTEM_CA_PLACES.includes(place)) &&
    env.every(([name, value]) => VARIABLE_NAME.test(name) && typeof value === "string" && !value.includes("\0"));
  if (!isFit) throw new SandboxError("io", "what unpacked the image did not say what it is");
  return found as ImageFacts;
}

function readJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** @param dir of an image that nobody can change any more @throws SandboxError `unavailable` */
export function finishImage(dir: string, facts: ImageFacts): void {
  checkImagePlaces(join(dir, ROOT_NAME), placesOf(facts));
  writeFileSync(join(dir, FACTS_NAME), JSON.stringify(facts));
}

/** The same for a layer over an image: what is the server's own in the image is not the layer's to change. */
export function finishLayerOver(image: ImageBase, systemDir: string): void {
  checkImagePlaces(systemDir, placesOf(image));
  for (const path of [image.bashAt, RUNTIME_DIR, HARNESS_PROGRAMS_DIR])
    rmSync(join(systemDir, path), { recursive: true, force: true });
  writeFileSync(join(systemDir, BASE_NAME), basename(dirname(image.root)));
}

/** Where nothing may lead elsewhere. A link to bash is the server's own. */
function placesOf({ bashAt, caPlaces }: Pick<ImageFacts, "bashAt" | "caPlaces">): string[] {
  return [bashAt.slice(0, bashAt.lastIndexOf("/")), "/opt", ...caPlaces];
}

/** `null`: it is no image. */
export function factsOf(dir: string): ImageFacts | null {
  const text = readIfThere(join(dir, FACTS_NAME));
  return text === null ? null : parseFacts(text);
}

/** The name of the image that a layer lies over; `null`: it lies over the host's system, or is an image itself. */
export function baseOf(dir: string): string | null {
  return readIfThere(join(dir, BASE_NAME));
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
