import { useState } from "react";
import { useSessionResources } from "../../api/sessions.ts";
import { fieldProblems } from "../../resources/field-problems.ts";
import { FormDialog } from "../../ui/dialog.tsx";
import { TextField } from "../../ui/field.tsx";
import { useToast } from "../../ui/toast.tsx";

interface ReplaceTokenDialogProps {
  sessionId: string;
  resourceId: string;
  url: string;
  onClose(): void;
}

/** The token of a repository is the only thing of it that can change in a session (contract §6.1). */
export function ReplaceTokenDialog({ sessionId, resourceId, url, onClose }: ReplaceTokenDialogProps) {
  const { replaceToken } = useSessionResources(sessionId);
  const [token, setToken] = useState("");
  const toast = useToast();
  const { fields, rest } = fieldProblems(replaceToken.error, ["authorization_token"]);
  return (
    <FormDialog
      open
      onClose={onClose}
      title={`Replace the token of ${url}`}
      description="What you type here is encrypted, and never shown again."
      submitLabel="Replace token"
      busy={replaceToken.isPending}
      error={rest}
      onSubmit={() =>
        replaceToken.mutate(
          { id: resourceId, token: token.trim() },
          {
            onSuccess: () => {
              onClose();
              toast("The token was replaced.");
            },
          },
        )
      }
    >
      <TextField
        label="Access token"
        type="password"
        autoComplete="new-password"
        required
        value={token}
        error={fields.authorization_token}
        onChange={(event) => setToken(event.target.value)}
      />
    </FormDialog>
  );
}
