/** An extension of ours: the system of an environment's sandboxes, in place of this machine's (design §2.9). */
export const IMAGE_KEY = "sandbox0.image";

/** Where an image is. */
export type EnvironmentImage =
  /** A file of the workspace. */
  | { type: "file"; fileId: string }
  | {
      type: "registry";
      /** Host and port; `null`: the operator's default. */
      registry: string | null;
      repository: string;
      /** A tag, or `sha256:…`. */
      reference: string;
    };

const FILE_ID = /^file_[A-Za-z0-9_-]+$/;
const DEFAULT_TAG = "latest";
const REPOSITORY_CHARS_MAX = 255;
const PART = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const REPOSITORY = new RegExp(`^${PART}(?:/${PART})*$`);
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const DIGEST = /^sha256:[0-9a-f]{64}$/;
/** What of a reference's first part is a host: it has a dot or a port, or is this machine. */
const REGISTRY = /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?$/;

/**
 * Reads the value of `IMAGE_KEY`: the id of a file, or a reference as `docker pull` takes it, `[host[:port]/]path[:tag|@digest]`.
 * Who gives both a tag and a digest gets what the digest names.
 * @returns `null`: it is neither
 */
export function parseImage(text: string): EnvironmentImage | null {
  if (FILE_ID.test(text)) return { type: "file", fileId: text };
  const [, named = "", digest = null] = /^([^@]*)(?:@(.*))?$/s.exec(text) ?? [];
  const slash = named.indexOf("/");
  const first = slash === -1 ? "" : named.slice(0, slash);
  const isHost = /[.:]/.test(first) || first === "localhost";
  const path = isHost ? named.slice(slash + 1) : named;
  const colon = path.lastIndexOf(":");
  const repository = colon === -1 ? path : path.slice(0, colon);
  const tag = colon === -1 ? DEFAULT_TAG : path.slice(colon + 1);
  const isFit =
    (!isHost || REGISTRY.test(first)) &&
    repository.length <= REPOSITORY_CHARS_MAX &&
    REPOSITORY.test(repository) &&
    TAG.test(tag) &&
    (digest === null || DIGEST.test(digest));
  if (!isFit) return null;
  return { type: "registry", registry: isHost ? first : null, repository, reference: digest ?? tag };
}
