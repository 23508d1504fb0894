import {
  type InputHTMLAttributes,
  type ReactNode,
  type Ref,
  type SelectHTMLAttributes,
  type TextareaHTMLAttributes,
  useId,
} from "react";
import { plainLine } from "../text/untrusted-text.ts";

interface Labelled {
  label: string;
  hint?: ReactNode;
  error?: string | null | undefined;
  /** For screen readers only: the place says what it is. */
  hideLabel?: boolean;
}
interface Wiring {
  id: string;
  "aria-describedby": string | undefined;
  "aria-invalid": true | undefined;
}

/** A label, its control, a hint and an error, tied together by ids. */
export function Field({ label, hint, error, hideLabel = false, children }: Labelled & { children(wiring: Wiring): ReactNode }) {
  const id = useId();
  const described = [hint ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean).join(" ");
  return (
    <div className="field">
      <label className={hideLabel ? "visually-hidden" : "field-label"} htmlFor={id}>
        {plainLine(label)}
      </label>
      {children({ id, "aria-describedby": described || undefined, "aria-invalid": error ? true : undefined })}
      {hint ? (
        <div className="field-hint" id={`${id}-hint`}>
          {hint}
        </div>
      ) : null}
      {error ? (
        <div className="field-error" id={`${id}-error`} role="alert">
          {error}
        </div>
      ) : null}
    </div>
  );
}

type Own = "className" | "id";

export function TextField({
  label,
  hint,
  error,
  hideLabel,
  mono = false,
  ...rest
}: Labelled & { mono?: boolean } & Omit<InputHTMLAttributes<HTMLInputElement>, Own>) {
  return (
    <Field label={label} hint={hint} error={error} {...(hideLabel && { hideLabel })}>
      {(wiring) => <input {...rest} {...wiring} className={mono ? "input input-mono" : "input"} />}
    </Field>
  );
}

export function TextArea({
  label,
  hint,
  error,
  hideLabel,
  mono = false,
  ...rest
}: Labelled & { mono?: boolean } & Omit<TextareaHTMLAttributes<HTMLTextAreaElement>, Own>) {
  return (
    <Field label={label} hint={hint} error={error} {...(hideLabel && { hideLabel })}>
      {(wiring) => <textarea {...rest} {...wiring} className={mono ? "input input-mono" : "input"} />}
    </Field>
  );
}

export interface SelectOption {
  value: string;
  label: string;
}

export function Select({
  label,
  hint,
  error,
  hideLabel,
  options,
  auto = false,
  ...rest
}: Labelled & { options: readonly SelectOption[]; auto?: boolean } & Omit<
    SelectHTMLAttributes<HTMLSelectElement>,
    Own | "children"
  >) {
  return (
    <Field label={label} hint={hint} error={error} {...(hideLabel && { hideLabel })}>
      {(wiring) => (
        <select {...rest} {...wiring} className={auto ? "input input-auto" : "input"}>
          {options.map((option) => (
            <option key={option.value} value={option.value}>
              {plainLine(option.label)}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

export function Checkbox({ label, ...rest }: { label: ReactNode } & Omit<InputHTMLAttributes<HTMLInputElement>, Own | "type">) {
  return (
    <label className="checkbox">
      <input {...rest} type="checkbox" />
      <span>{label}</span>
    </label>
  );
}

interface FieldGroupProps {
  legend: string;
  hint?: ReactNode;
  error?: string | null | undefined;
  groupRef?: Ref<HTMLFieldSetElement>;
  children: ReactNode;
}

/** Fields that belong together, under one name. It can be given the focus. */
export function FieldGroup({ legend, hint, error, groupRef, children }: FieldGroupProps) {
  const id = useId();
  const described = [hint ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean).join(" ");
  return (
    <fieldset className="fieldset" ref={groupRef} tabIndex={-1} aria-describedby={described || undefined}>
      <legend className="field-label">{legend}</legend>
      {hint ? (
        <p className="field-hint" id={`${id}-hint`}>
          {hint}
        </p>
      ) : null}
      {children}
      {error ? (
        <div className="field-error" id={`${id}-error`} role="alert">
          {error}
        </div>
      ) : null}
    </fieldset>
  );
}
