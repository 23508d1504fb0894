import type { Credential, CredentialCreateParams, CredentialUpdateParams } from "@sandbox0/protocol";
import { entriesOf } from "../../resources/lines.ts";

export type CredentialKind = Credential["auth"]["type"];
export const KINDS: readonly CredentialKind[] = ["environment_variable", "static_bearer", "mcp_oauth"];
export const KIND_LABELS: Readonly<Record<CredentialKind, string>> = {
  environment_variable: "Environment variable",
  static_bearer: "Bearer token",
  mcp_oauth: "OAuth",
};

type ClientAuth = "none" | "client_secret_basic" | "client_secret_post";

/**
 * What the form of a credential has in its fields. Secrets are here only while a person types them: nothing that the server
 * answers has one.
 */
export interface CredentialForm {
  kind: CredentialKind;
  displayName: string;
  /** `static_bearer`, `mcp_oauth`. */
  serverUrl: string;
  /** The bearer token, or the OAuth access token. */
  token: string;
  /** As `<input type="datetime-local">` has it; empty: it does not end. */
  expiresAt: string;
  refresh: boolean;
  clientId: string;
  refreshToken: string;
  tokenEndpoint: string;
  clientAuth: ClientAuth;
  clientSecret: string;
  scope: string;
  /** `environment_variable`. */
  secretName: string;
  secretValue: string;
  network: "limited" | "unrestricted";
  /** One a line. */
  hosts: string;
  inHeader: boolean;
  inBody: boolean;
}

const EMPTY: CredentialForm = {
  kind: "environment_variable",
  displayName: "",
  serverUrl: "",
  token: "",
  expiresAt: "",
  refresh: false,
  clientId: "",
  refreshToken: "",
  tokenEndpoint: "",
  clientAuth: "none",
  clientSecret: "",
  scope: "",
  secretName: "",
  secretValue: "",
  network: "limited",
  hosts: "",
  inHeader: true,
  inBody: false,
};

export const emptyCredentialForm = (): CredentialForm => ({ ...EMPTY });

/** Of a credential that is changed: everything but its secrets, which stay unless new ones are typed. */
export function credentialForm({ auth, display_name: displayName }: Credential): CredentialForm {
  const common = { ...EMPTY, kind: auth.type, displayName: displayName ?? "" };
  if (auth.type === "static_bearer") return { ...common, serverUrl: auth.mcp_server_url };
  if (auth.type === "environment_variable") {
    const { networking, injection_location: places } = auth;
    return {
      ...common,
      secretName: auth.secret_name,
      network: networking.type,
      hosts: networking.type === "limited" ? networking.allowed_hosts.join("\n") : "",
      inHeader: places.header,
      inBody: places.body,
    };
  }
  const { refresh } = auth;
  return {
    ...common,
    serverUrl: auth.mcp_server_url,
    expiresAt: auth.expires_at ? localTime(auth.expires_at) : "",
    refresh: refresh !== null && refresh !== undefined,
    clientId: refresh?.client_id ?? "",
    tokenEndpoint: refresh?.token_endpoint ?? "",
    clientAuth: refresh?.token_endpoint_auth.type ?? "none",
    scope: refresh?.scope ?? "",
  };
}

/** As `<input type="datetime-local">` takes it. */
function localTime(at: string): string {
  const time = new Date(at);
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

const isoTime = (local: string): string => new Date(local).toISOString();

export function credentialCreateParams(form: CredentialForm): CredentialCreateParams {
  const displayName = form.displayName.trim();
  return { auth: newAuth(form), ...(displayName !== "" && { display_name: displayName }) };
}

function newAuth(form: CredentialForm): CredentialCreateParams["auth"] {
  switch (form.kind) {
    case "environment_variable":
      return {
        type: "environment_variable",
        secret_name: form.secretName.trim(),
        secret_value: form.secretValue,
        networking: networkingOf(form),
        injection_location: { header: form.inHeader, body: form.inBody },
      };
    case "static_bearer": {
      const url = form.serverUrl.trim();
      return { type: "static_bearer", ...(url !== "" && { mcp_server_url: url }), token: form.token.trim() };
    }
    case "mcp_oauth":
      return {
        type: "mcp_oauth",
        mcp_server_url: form.serverUrl.trim(),
        access_token: form.token.trim(),
        ...(form.expiresAt !== "" && { expires_at: isoTime(form.expiresAt) }),
        ...(form.refresh && {
          refresh: {
            client_id: form.clientId.trim(),
            refresh_token: form.refreshToken.trim(),
            token_endpoint: form.tokenEndpoint.trim(),
            token_endpoint_auth:
              form.clientAuth === "none" ? { type: "none" } : { type: form.clientAuth, client_secret: form.clientSecret },
            ...(form.scope.trim() !== "" && { scope: form.scope.trim() }),
          },
        }),
      };
  }
}

/** What a credential is for cannot be changed: it is left out. So are secrets that were not typed anew. */
export function credentialUpdateParams(form: CredentialForm): CredentialUpdateParams {
  const displayName = form.displayName.trim();
  return { auth: changedAuth(form), ...(displayName !== "" && { display_name: displayName }) };
}

function changedAuth(form: CredentialForm): NonNullable<CredentialUpdateParams["auth"]> {
  const token = form.token.trim();
  switch (form.kind) {
    case "environment_variable":
      return {
        type: "environment_variable",
        ...(form.secretValue !== "" && { secret_value: form.secretValue }),
        networking: networkingOf(form),
        injection_location: { header: form.inHeader, body: form.inBody },
      };
    case "static_bearer":
      return { type: "static_bearer", ...(token !== "" && { token }) };
    case "mcp_oauth":
      return {
        type: "mcp_oauth",
        ...(token !== "" && { access_token: token }),
        ...(token !== "" && form.expiresAt !== "" && { expires_at: isoTime(form.expiresAt) }),
        ...(form.refresh && changedRefresh(form)),
      };
  }
}

function changedRefresh(form: CredentialForm) {
  const refreshToken = form.refreshToken.trim();
  const secret = form.clientAuth !== "none" && form.clientSecret !== "";
  return {
    refresh: {
      ...(refreshToken !== "" && { refresh_token: refreshToken }),
      ...(form.scope.trim() !== "" && { scope: form.scope.trim() }),
      ...(form.clientAuth !== "none" &&
        secret && { token_endpoint_auth: { type: form.clientAuth, client_secret: form.clientSecret } }),
    },
  };
}

const networkingOf = (form: CredentialForm) =>
  form.network === "unrestricted"
    ? ({ type: "unrestricted" } as const)
    : ({ type: "limited", allowed_hosts: entriesOf(form.hosts) } as const);
