import { z } from "zod";
import { describeAllowedHostProblem } from "./domains.ts";
import { metadataParamsSchema, metadataPatchSchema, metadataSchema } from "./metadata.ts";

/** Vaults and their credentials (contract §9, semantics §10). Secrets are in the params and in no response. */
export const CREDENTIALS_PER_VAULT_MAX = 20;
export const CREDENTIAL_HOSTS_MAX = 16;
const DISPLAY_NAME_CHARS_MAX = 255;
const URL_CHARS_MAX = 2_048;
export const SECRET_CHARS_MAX = 65_536;
const SECRET_NAME_CHARS_MAX = 255;
const CLIENT_ID_CHARS_MAX = 2_048;
const SCOPE_CHARS_MAX = 4_096;

const displayName = z.string().min(1).max(DISPLAY_NAME_CHARS_MAX);

export const vaultCreateParamsSchema = z.object({ display_name: displayName, metadata: metadataParamsSchema.nullish() });
export type VaultCreateParams = z.infer<typeof vaultCreateParamsSchema>;
export const vaultUpdateParamsSchema = z.object({ display_name: displayName.nullish(), metadata: metadataPatchSchema.nullish() });
export type VaultUpdateParams = z.infer<typeof vaultUpdateParamsSchema>;

// --- credentials: params ---------------------------------------------------------------------------------------------

/** What an address may be: no userinfo, which would be a secret that responses show; no fragment, which nobody receives. */
function describeUrlProblem(text: string): string | null {
  if (!URL.canParse(text)) return "must be an http or https URL";
  const url = new URL(text);
  if (url.protocol !== "https:" && url.protocol !== "http:") return "must be an http or https URL";
  if (url.username !== "" || url.password !== "") return "must not contain a user name or a password";
  if (text.includes("#")) return "must not have a fragment";
  return url.href.length > URL_CHARS_MAX ? `must have at most ${URL_CHARS_MAX} characters` : null;
}
const urlText = (options: { emptyAllowed: boolean }) =>
  z.string().superRefine((text, context) => {
    const problem = text === "" && options.emptyAllowed ? null : describeUrlProblem(text);
    if (problem !== null) context.addIssue({ code: "custom", message: problem });
  });
const serverUrl = urlText({ emptyAllowed: false });

/** Goes into a header: nothing that could end one. */
const token = z
  .string()
  .min(1)
  .max(SECRET_CHARS_MAX)
  .regex(/^[\x21-\x7e]+$/, "must be printable ASCII without spaces");
/** Goes into a form or a Basic header, encoded. */
const oauthSecret = z.string().min(1).max(SECRET_CHARS_MAX);
const secretValue = z.string().min(1).max(SECRET_CHARS_MAX);
const expiresAt = z.iso
  .datetime({ offset: true, error: "must be an RFC 3339 timestamp" })
  .refine((time) => Date.parse(time) > Date.now(), "must be in the future");

const hosts = z
  .array(
    z.string().superRefine((host, context) => {
      const problem = describeAllowedHostProblem(host);
      if (problem !== null) context.addIssue({ code: "custom", message: problem });
    }),
  )
  .max(CREDENTIAL_HOSTS_MAX);
const networkingParams = z.discriminatedUnion("type", [
  z.object({ type: z.literal("unrestricted") }),
  z.object({ type: z.literal("limited"), allowed_hosts: hosts }),
]);

const notNull = (issue: z.core.$ZodRawIssue): string | undefined =>
  issue.input === null ? "must not be null; omit the field instead" : undefined;
const location = z.boolean({ error: notNull }).optional();
const injectionLocationParams = z.object({ header: location, body: location }, { error: notNull }).optional();

/** `PATH`, proxies and trust are what the sandbox itself works by: a placeholder there would break it. */
const RESERVED_NAMES =
  /^(PATH|HOME|USER|SHELL|PWD|IFS|LD_.*|(HTTP|HTTPS|ALL|NO|FTP)_PROXY|.*_CA_(BUNDLE|CERTS?|INFO|PATH)|SSL_CERT_(FILE|DIR))$/i;
const secretName = z
  .string()
  .min(1)
  .max(SECRET_NAME_CHARS_MAX)
  .regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "must be the name of an environment variable: letters, digits and _, no digit first")
  .refine((name) => !RESERVED_NAMES.test(name), "is a variable that the sandbox sets itself; choose another name");

const clientAuthParams = z.discriminatedUnion("type", [
  z.object({ type: z.literal("none") }),
  z.object({ type: z.literal("client_secret_basic"), client_secret: oauthSecret }),
  z.object({ type: z.literal("client_secret_post"), client_secret: oauthSecret }),
]);
const refreshParams = z.object({
  client_id: z.string().min(1).max(CLIENT_ID_CHARS_MAX),
  refresh_token: oauthSecret,
  token_endpoint: serverUrl,
  token_endpoint_auth: clientAuthParams,
  resource: z.string().min(1).max(URL_CHARS_MAX).nullish(),
  scope: z.string().max(SCOPE_CHARS_MAX).nullish(),
});

const mcpOAuthParams = z.object({
  type: z.literal("mcp_oauth"),
  mcp_server_url: serverUrl,
  access_token: token,
  expires_at: expiresAt.nullish(),
  refresh: refreshParams.nullish(),
});
export type McpOAuthParams = z.infer<typeof mcpOAuthParams>;
const staticBearerParams = z.object({
  type: z.literal("static_bearer"),
  /** Left out, `null` or empty only in an LLM vault (design §5), which the server checks: the key of its model provider. */
  mcp_server_url: urlText({ emptyAllowed: true }).nullish(),
  token,
});
export type StaticBearerParams = z.infer<typeof staticBearerParams>;
const environmentVariableParams = z.object({
  type: z.literal("environment_variable"),
  secret_name: secretName,
  secret_value: secretValue,
  networking: networkingParams,
  injection_location: injectionLocationParams,
});
export type EnvironmentVariableParams = z.infer<typeof environmentVariableParams>;

export const credentialCreateParamsSchema = z.object({
  auth: z.discriminatedUnion("type", [mcpOAuthParams, staticBearerParams, environmentVariableParams]),
  display_name: z.string().max(DISPLAY_NAME_CHARS_MAX).nullish(),
  metadata: metadataParamsSchema.nullish(),
});
export type CredentialCreateParams = z.infer<typeof credentialCreateParamsSchema>;

const immutable = z
  .undefined({ error: "cannot be changed; archive this credential and create another one with the new value" })
  .optional();
const clientSecret = { client_secret: oauthSecret.nullish() };
const mcpOAuthUpdate = z.object({
  type: z.literal("mcp_oauth"),
  mcp_server_url: immutable,
  access_token: token.nullish(),
  expires_at: expiresAt.nullish(),
  refresh: z
    .object({
      client_id: immutable,
      token_endpoint: immutable,
      resource: immutable,
      refresh_token: oauthSecret.nullish(),
      scope: z.string().max(SCOPE_CHARS_MAX).nullish(),
      token_endpoint_auth: z
        .discriminatedUnion("type", [
          z.object({ type: z.literal("client_secret_basic"), ...clientSecret }),
          z.object({ type: z.literal("client_secret_post"), ...clientSecret }),
        ])
        .optional(),
    })
    .nullish(),
});
export type McpOAuthUpdate = z.infer<typeof mcpOAuthUpdate>;
const environmentVariableUpdate = z.object({
  type: z.literal("environment_variable"),
  secret_name: immutable,
  secret_value: secretValue.nullish(),
  networking: networkingParams.nullish(),
  injection_location: injectionLocationParams,
});
export type EnvironmentVariableUpdate = z.infer<typeof environmentVariableUpdate>;

export const credentialUpdateParamsSchema = z.object({
  auth: z
    .discriminatedUnion("type", [
      mcpOAuthUpdate,
      z.object({ type: z.literal("static_bearer"), mcp_server_url: immutable, token: token.nullish() }),
      environmentVariableUpdate,
    ])
    .optional(),
  display_name: displayName.nullish(),
  metadata: metadataPatchSchema.nullish(),
});
export type CredentialUpdateParams = z.infer<typeof credentialUpdateParamsSchema>;

// --- responses -------------------------------------------------------------------------------------------------------

export const vaultSchema = z.object({
  id: z.string(),
  type: z.literal("vault"),
  display_name: z.string(),
  metadata: metadataSchema,
  created_at: z.string(),
  updated_at: z.string(),
  archived_at: z.string().nullable(),
});
export type Vault = z.infer<typeof vaultSchema>;

const refreshSchema = z.object({
  client_id: z.string(),
  token_endpoint: z.string(),
  token_endpoint_auth: z.discriminatedUnion("type", [
    z.object({ type: z.literal("none") }),
    z.object({ type: z.literal("client_secret_basic") }),
    z.object({ type: z.literal("client_secret_post") }),
  ]),
  resource: z.string().nullish(),
  scope: z.string().nullish(),
});
export const credentialAuthSchema = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("mcp_oauth"),
    mcp_server_url: z.string(),
    expires_at: z.string().nullish(),
    refresh: refreshSchema.nullish(),
  }),
  z.object({ type: z.literal("static_bearer"), mcp_server_url: z.string() }),
  z.object({
    type: z.literal("environment_variable"),
    secret_name: z.string(),
    networking: z.discriminatedUnion("type", [
      z.object({ type: z.literal("unrestricted") }),
      z.object({ type: z.literal("limited"), allowed_hosts: z.array(z.string()) }),
    ]),
    injection_location: z.object({ header: z.boolean(), body: z.boolean() }),
  }),
]);
export type CredentialAuth = z.infer<typeof credentialAuthSchema>;

export const credentialSchema = z.object({
  id: z.string(),
  type: z.literal("vault_credential"),
  vault_id: z.string(),
  display_name: z.string().nullish(),
  metadata: metadataSchema,
  auth: credentialAuthSchema,
  created_at: z.string(),
  updated_at: z.string(),
  archived_at: z.string().nullable(),
});
export type Credential = z.infer<typeof credentialSchema>;

const capturedResponseSchema = z.object({
  status_code: z.number(),
  content_type: z.string(),
  body: z.string(),
  body_truncated: z.boolean(),
});
export type CapturedResponse = z.infer<typeof capturedResponseSchema>;
export const credentialValidationSchema = z.object({
  type: z.literal("vault_credential_validation"),
  credential_id: z.string(),
  vault_id: z.string(),
  status: z.enum(["valid", "invalid", "unknown"]),
  has_refresh_token: z.boolean(),
  validated_at: z.string(),
  mcp_probe: z.object({ method: z.string(), http_response: capturedResponseSchema.nullable() }).nullable(),
  refresh: z
    .object({
      status: z.enum(["succeeded", "failed", "connect_error", "no_refresh_token"]),
      http_response: capturedResponseSchema.nullable(),
    })
    .nullable(),
});
export type CredentialValidation = z.infer<typeof credentialValidationSchema>;
