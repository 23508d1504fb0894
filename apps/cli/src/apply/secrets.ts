import { readFileSync, statSync } from "node:fs";
import { SECRET_CHARS_MAX } from "@sandbox0/protocol";
import { findNamedFile, type Reach } from "./named-file.ts";

/** UTF-8 of the longest secret, and the end of its line. */
const SECRET_FILE_BYTES_MAX = 3 * SECRET_CHARS_MAX + 2;

/** The fields of a credential's `auth` that are secrets. */
const SECRET_FIELDS = [
  ["token"],
  ["access_token"],
  ["secret_value"],
  ["refresh", "refresh_token"],
  ["refresh", "token_endpoint_auth", "client_secret"],
] as const;

export interface SecretSources extends Reach {
  environment: Readonly<Record<string, string | undefined>>;
}

type Fields = Record<string, unknown>;

export interface OpenedAuth {
  /** As the API takes it, with the secrets in it. Never to be shown. */
  auth: Fields;
  /** The secrets alone, in the order of their fields. */
  secrets: string[];
  /** `token: from /etc/ci/token`, `secret_value: from $NPM_TOKEN`: where each is from. */
  origins: string[];
  /** `auth.token: …`, a sentence each; never with a secret in it. */
  problems: string[];
}

/** Puts the secrets in the places of `{from_env: NAME}` and `{from_file: PATH}`. */
export function openSecrets(auth: Readonly<Fields>, sources: SecretSources): OpenedAuth {
  const opened = structuredClone(auth) as Fields;
  const secrets: string[] = [];
  const origins: string[] = [];
  const problems: string[] = [];
  for (const path of SECRET_FIELDS) {
    const holder = path.slice(0, -1).reduce<unknown>((inner, key) => (isFields(inner) ? inner[key] : undefined), opened);
    const key = path.at(-1) ?? "";
    if (!isFields(holder) || holder[key] === undefined || holder[key] === null) continue;
    const read = readSecret(holder[key], sources);
    if ("problem" in read) {
      problems.push(`auth.${path.join(".")}: ${read.problem}`);
      continue;
    }
    holder[key] = read.secret;
    secrets.push(read.secret);
    origins.push(`${path.join(".")}: from ${read.origin}`);
  }
  return { auth: opened, secrets, origins, problems };
}

const isFields = (value: unknown): value is Fields => typeof value === "object" && value !== null && !Array.isArray(value);

type ReadSecret = { secret: string; origin: string } | { problem: string };

function readSecret(reference: unknown, sources: SecretSources): ReadSecret {
  if (typeof reference === "string")
    return { problem: "a secret does not stand in a file; write {from_env: NAME} or {from_file: PATH}" };
  const [[source, name] = [], ...more] = isFields(reference) ? Object.entries(reference) : [];
  if (more.length > 0 || typeof name !== "string" || (source !== "from_env" && source !== "from_file"))
    return { problem: "must be {from_env: NAME} or {from_file: PATH}" };
  if (source === "from_file") return readSecretFile(name, sources);
  const secret = sources.environment[name];
  return secret === undefined || secret === "" ? { problem: `the variable ${name} is not set` } : { secret, origin: `$${name}` };
}

/** The line end that editors put at the end of a file is not part of it. */
function readSecretFile(name: string, sources: SecretSources): ReadSecret {
  const found = findNamedFile(name, sources);
  if ("problem" in found) return found;
  const { path } = found;
  try {
    if (statSync(path).size > SECRET_FILE_BYTES_MAX) return { problem: `${path} is larger than a secret can be` };
    const secret = readFileSync(path, "utf8").replace(/\r?\n$/, "");
    return secret === "" ? { problem: `${path} is empty` } : { secret, origin: path };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { problem: `${path} cannot be read: ${error.message}` };
  }
}
