import { type Credential, credentialCreateParamsSchema, credentialUpdateParamsSchema } from "@sandbox0/protocol";
import { expect, test } from "vitest";
import {
  type CredentialForm,
  credentialCreateParams,
  credentialForm,
  credentialUpdateParams,
  emptyCredentialForm,
} from "./credential-form.ts";

const form = (change: Partial<CredentialForm>): CredentialForm => ({ ...emptyCredentialForm(), ...change });
const credential = (auth: Credential["auth"]): Credential => ({
  id: "vcrd_1",
  type: "vault_credential",
  vault_id: "vlt_1",
  display_name: "Mine",
  metadata: {},
  auth,
  created_at: "2026-01-01T00:00:00.000Z",
  updated_at: "2026-01-01T00:00:00.000Z",
  archived_at: null,
});

test.each<[string, Partial<CredentialForm>, unknown]>([
  [
    "environment variable",
    { secretName: " GITHUB_TOKEN ", secretValue: " kept as typed ", hosts: "api.github.com\n" },
    {
      type: "environment_variable",
      secret_name: "GITHUB_TOKEN",
      secret_value: " kept as typed ",
      networking: { type: "limited", allowed_hosts: ["api.github.com"] },
      injection_location: { header: true, body: false },
    },
  ],
  [
    "bearer token",
    { kind: "static_bearer", serverUrl: "https://mcp.example.com", token: " abc\n" },
    { type: "static_bearer", mcp_server_url: "https://mcp.example.com", token: "abc" },
  ],
  ["key of a model provider", { kind: "static_bearer", token: "abc" }, { type: "static_bearer", token: "abc" }],
  [
    "OAuth without renewal",
    { kind: "mcp_oauth", serverUrl: "https://mcp.example.com", token: "abc", clientId: "left over" },
    { type: "mcp_oauth", mcp_server_url: "https://mcp.example.com", access_token: "abc" },
  ],
  [
    "OAuth with renewal",
    {
      kind: "mcp_oauth",
      serverUrl: "https://mcp.example.com",
      token: "abc",
      refresh: true,
      clientId: "id",
      refreshToken: "r",
      tokenEndpoint: "https://auth.example.com/token",
      clientAuth: "client_secret_post",
      clientSecret: "s",
    },
    {
      type: "mcp_oauth",
      mcp_server_url: "https://mcp.example.com",
      access_token: "abc",
      refresh: {
        client_id: "id",
        refresh_token: "r",
        token_endpoint: "https://auth.example.com/token",
        token_endpoint_auth: { type: "client_secret_post", client_secret: "s" },
      },
    },
  ],
])("a new one: %s", (_name, change, auth) => {
  const params = credentialCreateParams(form(change));
  expect(params).toEqual({ auth });
  expect(credentialCreateParamsSchema.safeParse(params).success).toBe(true);
});

test.each<Credential["auth"]>([
  {
    type: "environment_variable",
    secret_name: "TOKEN",
    networking: { type: "limited", allowed_hosts: ["a.example"] },
    injection_location: { header: false, body: true },
  },
  { type: "static_bearer", mcp_server_url: "https://mcp.example.com" },
  {
    type: "mcp_oauth",
    mcp_server_url: "https://mcp.example.com",
    expires_at: "2020-01-01T00:00:00.000Z",
    refresh: {
      client_id: "id",
      token_endpoint: "https://auth.example.com/token",
      token_endpoint_auth: { type: "client_secret_basic" },
      scope: "read",
    },
  },
])("changing $type keeps what was not typed anew, and says nothing of what cannot be changed", (auth) => {
  const params = credentialUpdateParams(credentialForm(credential(auth)));
  expect(credentialUpdateParamsSchema.safeParse(params).success).toBe(true);
  const sent = JSON.stringify(params);
  for (const word of [
    "secret_name",
    "mcp_server_url",
    "client_id",
    "token_endpoint",
    "expires_at",
    "secret_value",
    "access_token",
  ])
    expect(sent).not.toContain(`"${word}":`);
});

test("a new secret is sent, with the new end of a new token", () => {
  const oauth = credentialForm(credential({ type: "mcp_oauth", mcp_server_url: "https://mcp.example.com" }));
  const params = credentialUpdateParams({ ...oauth, token: "new", expiresAt: "2099-01-01T12:00" });
  expect(params.auth).toEqual({
    type: "mcp_oauth",
    access_token: "new",
    expires_at: new Date("2099-01-01T12:00").toISOString(),
  });
});
