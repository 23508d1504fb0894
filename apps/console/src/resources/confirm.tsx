import type { ReactNode } from "react";
import { problemText } from "../api/problem.ts";
import { FormDialog } from "../ui/dialog.tsx";
import { useToast } from "../ui/toast.tsx";
import { useChange } from "./use-resources.ts";
import type { Client } from "../api/client.ts";

export interface ConfirmProps {
  title: string;
  description: ReactNode;
  submitLabel: string;
  danger?: boolean;
  /** Said when it is done. */
  done: string;
  run(client: Client): Promise<unknown>;
  /** Leaves the page, whose subject is gone or done with. */
  leave?: () => void;
  onClose(): void;
}

/** Asks before something is done that cannot be taken back. Shown for as long as it is mounted. */
export function Confirm({ title, description, submitLabel, danger = true, done, run, leave, onClose }: ConfirmProps) {
  const change = useChange((client, _: undefined) => run(client), { leaves: leave !== undefined });
  const toast = useToast();
  const submit = () =>
    change.mutate(undefined, {
      onSuccess: () => {
        onClose();
        toast(done);
        leave?.();
      },
    });
  return (
    <FormDialog
      open
      onClose={onClose}
      title={title}
      description={description}
      submitLabel={submitLabel}
      danger={danger}
      busy={change.isPending}
      error={change.error ? problemText(change.error) : null}
      onSubmit={submit}
    >
      {null}
    </FormDialog>
  );
}
