import type { ComponentProps } from "react";
import { Checkbox, Select, TextArea, TextField } from "../../ui/field.tsx";
import type { CredentialForm } from "./credential-form.ts";

/** Where the server says what is wrong. */
export const CREDENTIAL_FIELDS = [
  "display_name",
  "auth.secret_name",
  "auth.secret_value",
  "auth.networking",
  "auth.injection_location",
  "auth.mcp_server_url",
  "auth.token",
  "auth.access_token",
  "auth.expires_at",
  "auth.refresh.client_id",
  "auth.refresh.refresh_token",
  "auth.refresh.token_endpoint",
  "auth.refresh.token_endpoint_auth",
  "auth.refresh.scope",
] as const;

interface KindFieldsProps {
  form: CredentialForm;
  change(patch: Partial<CredentialForm>): void;
  problems: Readonly<Record<string, string>>;
  isNew: boolean;
}

export function KindFields(props: KindFieldsProps) {
  if (props.form.kind === "environment_variable") return <VariableFields {...props} />;
  return props.form.kind === "static_bearer" ? <BearerFields {...props} /> : <OAuthFields {...props} />;
}

/** Typed, sent and forgotten: no browser keeps it, and nothing fills it in. */
function SecretField({ isNew, ...rest }: { isNew: boolean } & Omit<ComponentProps<typeof TextField>, "type" | "mono">) {
  return (
    <TextField
      {...rest}
      type="password"
      mono
      autoComplete="new-password"
      spellCheck={false}
      required={isNew}
      placeholder={isNew ? "" : "unchanged"}
    />
  );
}

function ServerUrlField({ form, change, problems, isNew }: KindFieldsProps) {
  return (
    <TextField
      label="MCP server"
      type="url"
      mono
      required={form.kind === "mcp_oauth"}
      disabled={!isNew}
      placeholder={isNew ? "https://mcp.example.com/mcp" : ""}
      value={form.serverUrl}
      error={problems["auth.mcp_server_url"]}
      onChange={(event) => change({ serverUrl: event.target.value })}
    />
  );
}

function BearerFields(props: KindFieldsProps) {
  const { form, change, problems, isNew } = props;
  return (
    <>
      <ServerUrlField {...props} />
      <SecretField
        label="Token"
        isNew={isNew}
        value={form.token}
        error={problems["auth.token"]}
        onChange={(event) => change({ token: event.target.value })}
      />
    </>
  );
}

function VariableFields({ form, change, problems, isNew }: KindFieldsProps) {
  return (
    <>
      <TextField
        label="Variable"
        mono
        required
        disabled={!isNew}
        placeholder="GITHUB_TOKEN"
        spellCheck={false}
        value={form.secretName}
        error={problems["auth.secret_name"]}
        onChange={(event) => change({ secretName: event.target.value })}
      />
      <SecretField
        label="Secret"
        isNew={isNew}
        value={form.secretValue}
        error={problems["auth.secret_value"]}
        onChange={(event) => change({ secretValue: event.target.value })}
      />
      <Select
        label="Sent to"
        options={[
          { value: "limited", label: "The hosts named here" },
          { value: "unrestricted", label: "Every host that the environment allows" },
        ]}
        value={form.network}
        onChange={(event) => change({ network: event.target.value as CredentialForm["network"] })}
      />
      {form.network === "limited" ? (
        <TextArea
          label="Hosts"
          hint="One a line; the environment must allow them as well."
          mono
          rows={2}
          spellCheck={false}
          placeholder="api.github.com"
          value={form.hosts}
          error={problems["auth.networking"]}
          onChange={(event) => change({ hosts: event.target.value })}
        />
      ) : null}
      <div className="row row-wrap">
        <Checkbox label="In headers" checked={form.inHeader} onChange={(event) => change({ inHeader: event.target.checked })} />
        <Checkbox label="In bodies" checked={form.inBody} onChange={(event) => change({ inBody: event.target.checked })} />
      </div>
      {problems["auth.injection_location"] ? (
        <div className="field-error" role="alert">
          {problems["auth.injection_location"]}
        </div>
      ) : null}
    </>
  );
}

function OAuthFields(props: KindFieldsProps) {
  const { form, change, problems, isNew } = props;
  return (
    <>
      <ServerUrlField {...props} />
      <SecretField
        label="Access token"
        isNew={isNew}
        value={form.token}
        error={problems["auth.access_token"]}
        onChange={(event) => change({ token: event.target.value })}
      />
      <TextField
        label="Ends"
        type="datetime-local"
        hint="Left empty: when the server refuses it."
        disabled={!isNew && form.token === ""}
        value={form.expiresAt}
        error={problems["auth.expires_at"]}
        onChange={(event) => change({ expiresAt: event.target.value })}
      />
      {isNew ? (
        <Checkbox
          label="Renew it with a refresh token"
          checked={form.refresh}
          onChange={(event) => change({ refresh: event.target.checked })}
        />
      ) : null}
      {form.refresh ? <RefreshFields {...props} /> : null}
    </>
  );
}

const CLIENT_AUTHS = [
  { value: "none", label: "A public client: no secret" },
  { value: "client_secret_basic", label: "Secret in the Authorization header" },
  { value: "client_secret_post", label: "Secret in the form" },
];

function RefreshFields({ form, change, problems, isNew }: KindFieldsProps) {
  return (
    <>
      <TextField
        label="Token endpoint"
        type="url"
        mono
        required
        disabled={!isNew}
        value={form.tokenEndpoint}
        error={problems["auth.refresh.token_endpoint"]}
        onChange={(event) => change({ tokenEndpoint: event.target.value })}
      />
      <TextField
        label="Client id"
        mono
        required
        disabled={!isNew}
        autoComplete="off"
        value={form.clientId}
        error={problems["auth.refresh.client_id"]}
        onChange={(event) => change({ clientId: event.target.value })}
      />
      <SecretField
        label="Refresh token"
        isNew={isNew}
        value={form.refreshToken}
        error={problems["auth.refresh.refresh_token"]}
        onChange={(event) => change({ refreshToken: event.target.value })}
      />
      <Select
        label="Client"
        disabled={!isNew}
        options={CLIENT_AUTHS}
        value={form.clientAuth}
        onChange={(event) => change({ clientAuth: event.target.value as CredentialForm["clientAuth"] })}
      />
      {form.clientAuth === "none" ? null : (
        <SecretField
          label="Client secret"
          isNew={isNew}
          value={form.clientSecret}
          error={problems["auth.refresh.token_endpoint_auth"]}
          onChange={(event) => change({ clientSecret: event.target.value })}
        />
      )}
      <TextField
        label="Scope"
        hint="Left empty: as it was given first."
        value={form.scope}
        error={problems["auth.refresh.scope"]}
        onChange={(event) => change({ scope: event.target.value })}
      />
    </>
  );
}
