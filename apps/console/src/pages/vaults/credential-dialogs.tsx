import type { Credential } from "@sandbox0/protocol";
import { useState } from "react";
import { apiPath } from "../../api/api-path.ts";
import { fieldProblems } from "../../resources/field-problems.ts";
import { ONCE, useChange } from "../../resources/use-resources.ts";
import { FormDialog } from "../../ui/dialog.tsx";
import { Select, TextField } from "../../ui/field.tsx";
import { useToast } from "../../ui/toast.tsx";
import {
  type CredentialForm,
  credentialCreateParams,
  credentialForm,
  credentialUpdateParams,
  emptyCredentialForm,
  KIND_LABELS,
  KINDS,
} from "./credential-form.ts";
import { CREDENTIAL_FIELDS, KindFields } from "./credential-fields.tsx";

const KIND_HINTS: Readonly<Record<CredentialForm["kind"], string>> = {
  environment_variable: "For commands in a sandbox: they see a placeholder, and the secret is put in on its way out.",
  static_bearer: "For an MCP server: the server sends it when it connects. Without an address: the key of a model provider.",
  mcp_oauth: "For an MCP server, with tokens that the server may renew by itself.",
};

export function NewCredentialDialog({ vaultId, onClose }: { vaultId: string; onClose(): void }) {
  const [form, setForm] = useState(emptyCredentialForm);
  const change = (patch: Partial<CredentialForm>) => setForm((old) => ({ ...old, ...patch }));
  const create = useChange((client, values: CredentialForm) =>
    client.post<Credential>(apiPath`/v1/vaults/${vaultId}/credentials`, { body: credentialCreateParams(values), ...ONCE }),
  );
  const toast = useToast();
  const refused = fieldProblems(create.error, CREDENTIAL_FIELDS);
  return (
    <FormDialog
      open
      onClose={onClose}
      title="Add a credential"
      description="What you type here is encrypted, and never shown again."
      submitLabel="Add credential"
      busy={create.isPending}
      error={refused.rest}
      onSubmit={() =>
        create.mutate(form, {
          onSuccess: () => {
            onClose();
            toast("The credential was added.");
          },
        })
      }
    >
      <Select
        label="Kind"
        hint={KIND_HINTS[form.kind]}
        options={KINDS.map((kind) => ({ value: kind, label: KIND_LABELS[kind] }))}
        value={form.kind}
        onChange={(event) => change({ kind: event.target.value as CredentialForm["kind"] })}
      />
      <NameField form={form} change={change} error={refused.fields.display_name} />
      <KindFields form={form} change={change} problems={refused.fields} isNew />
    </FormDialog>
  );
}

export function ChangeCredentialDialog({ credential, onClose }: { credential: Credential; onClose(): void }) {
  const [form, setForm] = useState(() => credentialForm(credential));
  const change = (patch: Partial<CredentialForm>) => setForm((old) => ({ ...old, ...patch }));
  const path = apiPath`/v1/vaults/${credential.vault_id}/credentials/${credential.id}`;
  const update = useChange((client, values: CredentialForm) =>
    client.post<Credential>(path, { body: credentialUpdateParams(values) }),
  );
  const toast = useToast();
  const refused = fieldProblems(update.error, CREDENTIAL_FIELDS);
  return (
    <FormDialog
      open
      onClose={onClose}
      title="Change this credential"
      description="A secret that you leave empty stays as it is. What the credential is for cannot be changed."
      submitLabel="Save credential"
      busy={update.isPending}
      error={refused.rest}
      onSubmit={() =>
        update.mutate(form, {
          onSuccess: () => {
            onClose();
            toast("The credential was saved. Running sessions have it within seconds.");
          },
        })
      }
    >
      <NameField form={form} change={change} error={refused.fields.display_name} />
      <KindFields form={form} change={change} problems={refused.fields} isNew={false} />
    </FormDialog>
  );
}

interface NameFieldProps {
  form: CredentialForm;
  change(patch: Partial<CredentialForm>): void;
  error: string | undefined;
}

function NameField({ form, change, error }: NameFieldProps) {
  return (
    <TextField
      label="Name"
      hint="For people; may be left empty."
      maxLength={255}
      value={form.displayName}
      error={error}
      onChange={(event) => change({ displayName: event.target.value })}
    />
  );
}
