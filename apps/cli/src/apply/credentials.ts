import type Anthropic from "@anthropic-ai/sdk";
import { describeDifference, findDifferences, findMetadataDifferences } from "./differences.ts";
import type { Document } from "./documents.ts";
import { digestOf, fingerprintOf, hasFingerprint, MARK, type Metadata, metadataPatch, userMetadata } from "./mark.ts";
import { match } from "./match.ts";
import type { Plan, PlanItem } from "./plan.ts";

type Credentials = Anthropic["beta"]["vaults"]["credentials"];
type Credential = Awaited<ReturnType<Credentials["retrieve"]>>;
type Fields = Record<string, unknown>;

/** A credential as a document of a vault has it, with its secrets read. */
export interface NamedCredential {
  document: Document;
  /** What it is for: one of a vault is for each. */
  name: string;
  /** `credentials[0].auth.token`: where it stands. */
  field: string;
  displayName: string | null;
  metadata: Metadata;
  /** With the secrets. */
  auth: Fields & { type: string };
  /** As the document has it: with the places of the secrets. */
  described: unknown;
  secrets: string[];
  /** Where each of them is from, a line each. */
  origins: string[];
}

export interface VaultOfCredentials {
  client: Anthropic;
  name: string;
  /** It may not be there before the item that makes it has run. */
  id(): string;
  stored: readonly Credential[];
  adopt: boolean;
}

/** What a credential is for: the name that is unique in its vault. */
export function purposeOf(auth: Fields): string {
  if (auth.type === "environment_variable") return String(auth.secret_name);
  const url = auth.mcp_server_url;
  return typeof url === "string" && url !== "" ? url : "the model provider";
}

export function planCredentials(vault: VaultOfCredentials, documents: readonly NamedCredential[]): Plan {
  const stored = vault.stored.map((credential) => ({ ...credential, name: purposeOf(credential.auth as unknown as Fields) }));
  const { pairs, orphans } = match(documents, stored, { kind: "credential", adopt: vault.adopt });
  const { credentials } = vault.client.beta.vaults;
  return {
    items: pairs.map(({ named, stored: credential }) => planCredential(vault, named, credential)),
    removals: orphans.map((credential) => ({
      action: "remove",
      name: nameOf(vault, credential.name),
      id: credential.id,
      document: undefined,
      changes: [],
      run: async () => ({ id: (await credentials.archive(credential.id, { vault_id: vault.id() })).id, note: "archived" }),
    })),
  };
}

const nameOf = (vault: VaultOfCredentials, name: string): string => `credential ${name} of vault ${vault.name}`;

function planCredential(vault: VaultOfCredentials, named: NamedCredential, credential: Credential | undefined): PlanItem {
  const { credentials } = vault.client.beta.vaults;
  const item = { name: nameOf(vault, named.name), id: credential?.id, document: named.document };
  const digest = digestOf(named.described);
  const create = async () => {
    const metadata = { ...named.metadata, [MARK]: `${digest}.${fingerprintOf(named.secrets)}` };
    const body = { auth: named.auth, display_name: named.displayName, metadata };
    return { id: (await credentials.create(vault.id(), body as unknown as Parameters<Credentials["create"]>[1])).id };
  };
  if (credential === undefined) return { ...item, action: "create", changes: named.origins, run: create };
  const fixed = findFixedDifferences(named, credential);
  if (fixed.length > 0) {
    const run = async () => {
      await credentials.archive(credential.id, { vault_id: vault.id() });
      return await create();
    };
    return { ...item, action: "replace", changes: [...fixed, ...named.origins], run };
  }
  const [applied, ...fingerprint] = (credential.metadata[MARK] ?? "").split(".");
  const isSameSecret = hasFingerprint(named.secrets, fingerprint.join("."));
  const changes = findChanges(named, credential);
  if (applied === digest && isSameSecret && changes.length === 0)
    return { ...item, action: "unchanged", changes: [], run: async () => ({ id: credential.id }) };
  const shown = [...changes, ...(isSameSecret ? [] : ["the secret: another one", ...named.origins])];
  const run = async () => {
    const mark = `${digest}.${isSameSecret ? fingerprint.join(".") : fingerprintOf(named.secrets)}`;
    const body = {
      vault_id: vault.id(),
      auth: updateOf(named.auth, !isSameSecret),
      ...(named.displayName === null ? {} : { display_name: named.displayName }),
      metadata: metadataPatch(credential.metadata, named.metadata, mark),
    };
    return { id: (await credentials.update(credential.id, body as unknown as Parameters<Credentials["update"]>[1])).id };
  };
  return { ...item, action: "update", changes: shown.length > 0 ? shown : ["the document says it in another way"], run };
}

/** What cannot be changed: another credential has to take its place. */
function findFixedDifferences({ auth }: NamedCredential, credential: Credential): string[] {
  const stored = credential.auth as unknown as Fields;
  if (auth.type !== stored.type) return [`auth.type: ${String(stored.type)} → ${auth.type}`];
  if (auth.type !== "mcp_oauth") return [];
  const [wanted, there] = [fixedOf(auth.refresh), fixedOf(stored.refresh)];
  return findDifferences(wanted, there, { exact: true }).map((difference) =>
    describeDifference({ ...difference, field: `auth.refresh.${difference.field}` }),
  );
}

function fixedOf(refresh: unknown): Fields {
  const { client_id, token_endpoint, resource, token_endpoint_auth } = (refresh ?? {}) as Fields;
  const clientAuth = (token_endpoint_auth ?? {}) as Fields;
  return { client_id, token_endpoint, resource, token_endpoint_auth: clientAuth.type };
}

/** Tokens and their expiry are the server's once it has refreshed them: no difference to what was applied. */
function findChanges(named: NamedCredential, credential: Credential): string[] {
  const { auth } = named;
  const wanted: Fields =
    auth.type === "environment_variable"
      ? { networking: auth.networking, injection_location: locationsOf(auth.injection_location) }
      : { scope: ((auth.refresh ?? {}) as Fields).scope };
  const stored = credential.auth as unknown as Fields;
  const there = auth.type === "environment_variable" ? stored : { scope: ((stored.refresh ?? {}) as Fields).scope };
  const named_ = named.displayName === null ? {} : { display_name: named.displayName };
  return [
    ...findDifferences(named_, credential as unknown as Fields),
    ...findDifferences(wanted, there, { exact: true }),
    ...findMetadataDifferences(named.metadata, userMetadata(credential.metadata)),
  ].map(describeDifference);
}

/** Both where nothing is said; what a given object leaves out is off. */
function locationsOf(location: unknown): Fields {
  const { header = false, body = false } = (location ?? { header: true, body: true }) as Fields;
  return { header, body };
}

/** What an update may say. Secrets only when they are other ones: the server may have refreshed those it has. */
function updateOf(auth: Fields & { type: string }, withSecrets: boolean): Fields {
  const { type } = auth;
  switch (type) {
    case "environment_variable":
      return {
        type,
        networking: auth.networking,
        injection_location: locationsOf(auth.injection_location),
        ...(withSecrets ? { secret_value: auth.secret_value } : {}),
      };
    case "mcp_oauth":
      return {
        type,
        ...(withSecrets ? { access_token: auth.access_token, expires_at: auth.expires_at ?? null } : {}),
        ...(auth.refresh ? { refresh: refreshUpdateOf(auth.refresh as Fields, withSecrets) } : {}),
      };
    default:
      return { type, ...(withSecrets ? { token: auth.token } : {}) };
  }
}

function refreshUpdateOf(refresh: Fields, withSecrets: boolean): Fields {
  const clientAuth = refresh.token_endpoint_auth as Fields;
  return {
    // "" clears it.
    scope: refresh.scope ?? "",
    ...(withSecrets ? { refresh_token: refresh.refresh_token } : {}),
    ...(withSecrets && clientAuth.type !== "none" ? { token_endpoint_auth: clientAuth } : {}),
  };
}
