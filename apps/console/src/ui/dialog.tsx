import { type FormEvent, type ReactNode, useEffect, useId, useRef } from "react";
import { plainLine } from "../text/untrusted-text.ts";
import { Button, IconButton } from "./button.tsx";

interface DialogProps {
  open: boolean;
  onClose(): void;
  title: string;
  description?: ReactNode;
  size?: "normal" | "wide";
  children: ReactNode;
}

/** The browser's own modal dialog: it traps the focus and closes on Escape. */
export function Dialog({ open, onClose, title, description, size = "normal", children }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    if (!open || dialog === null) return undefined;
    const opener = document.activeElement;
    if (!dialog.open) dialog.showModal();
    // It is taken out of the page rather than closed, and the browser gives the focus back for the latter alone.
    return () => {
      if (opener instanceof HTMLElement && document.activeElement === document.body) opener.focus();
    };
  }, [open]);
  if (!open) return null;
  return (
    <dialog
      ref={ref}
      className="dialog"
      data-size={size}
      aria-labelledby={`${id}-title`}
      aria-describedby={description ? `${id}-description` : undefined}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <div className="dialog-head">
        <div>
          <h2 id={`${id}-title`}>{plainLine(title)}</h2>
          {description ? (
            <p className="muted" id={`${id}-description`}>
              {description}
            </p>
          ) : null}
        </div>
        <IconButton icon="close" label="Close dialog" size="small" onClick={onClose} />
      </div>
      {children}
    </dialog>
  );
}

interface FormDialogProps extends DialogProps {
  submitLabel: string;
  danger?: boolean;
  busy?: boolean;
  disabled?: boolean;
  error?: string | null | undefined;
  onSubmit(): void;
}

/** A dialog around a form: fields, an error, cancel and submit. */
export function FormDialog(props: FormDialogProps) {
  const { submitLabel, danger = false, busy = false, disabled = false, error, onSubmit, children, ...dialog } = props;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!busy && !disabled) onSubmit();
  };
  return (
    <Dialog {...dialog}>
      <form onSubmit={submit}>
        <div className="dialog-body">
          {children}
          {error ? (
            <div className="field-error" role="alert">
              {error}
            </div>
          ) : null}
        </div>
        <div className="dialog-foot">
          <Button onClick={dialog.onClose}>Cancel</Button>
          <Button type="submit" variant={danger ? "danger" : "primary"} busy={busy} disabled={disabled}>
            {submitLabel}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
