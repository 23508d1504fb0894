import type { ButtonHTMLAttributes } from "react";
import { plainLine } from "../text/untrusted-text.ts";
import { Icon, type IconName } from "./icon.tsx";

export interface ButtonLook {
  variant?: "default" | "primary" | "danger" | "quiet";
  size?: "medium" | "small";
  icon?: IconName;
  /** Shows a spinner and takes no clicks; the button keeps its focus. */
  busy?: boolean;
}

export function buttonClass({ variant = "default", size = "medium" }: ButtonLook, iconOnly = false): string {
  return [
    "button",
    variant === "default" ? "" : `button-${variant}`,
    size === "small" ? "button-small" : "",
    iconOnly ? "button-icon" : "",
  ]
    .filter(Boolean)
    .join(" ");
}

type ButtonProps = ButtonLook & Omit<ButtonHTMLAttributes<HTMLButtonElement>, "className">;

export function Button({ variant, size, icon, busy = false, children, onClick, type = "button", ...rest }: ButtonProps) {
  return (
    <button
      {...rest}
      type={type}
      className={buttonClass({ ...(variant && { variant }), ...(size && { size }) })}
      aria-disabled={busy || undefined}
      aria-busy={busy || undefined}
      onClick={(event) => {
        if (busy) event.preventDefault();
        else onClick?.(event);
      }}
    >
      {busy ? <span className="spinner" /> : icon ? <Icon name={icon} size={14} /> : null}
      {children}
    </button>
  );
}

type IconButtonProps = Omit<ButtonProps, "icon" | "busy" | "children"> & { icon: IconName; label: string };

/** The label is its accessible name and its tooltip; it may hold the name of anything. */
export function IconButton({ variant = "quiet", size, icon, label, type = "button", ...rest }: IconButtonProps) {
  const name = plainLine(label);
  return (
    <button
      title={name}
      {...rest}
      type={type}
      className={buttonClass({ variant, ...(size && { size }) }, true)}
      aria-label={name}
    >
      <Icon name={icon} size={size === "small" ? 13 : 15} />
    </button>
  );
}
