import type { ReactNode } from "react";
import { describeProblem } from "../api/problem.ts";
import { Button } from "./button.tsx";
import { Icon, type IconName } from "./icon.tsx";

/** Nothing here yet, and what to do about it. */
export function EmptyState({ icon, title, children }: { icon?: IconName; title: string; children?: ReactNode }) {
  return (
    <div className="state">
      {icon ? <Icon name={icon} size={22} /> : null}
      <h3>{title}</h3>
      {children}
    </div>
  );
}

export function ErrorState({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const problem = describeProblem(error);
  return (
    <div className="state" role="alert">
      <Icon name="warn" size={22} />
      <h3>{problem.title}</h3>
      <p>{problem.message}</p>
      {problem.requestId ? <code className="muted small">{problem.requestId}</code> : null}
      {onRetry ? (
        <Button icon="refresh" onClick={onRetry}>
          Try again
        </Button>
      ) : null}
    </div>
  );
}

const SKELETON_WIDTHS = ["62%", "84%", "48%", "72%", "56%"];

export function LoadingState({ label = "Loading" }: { label?: string }) {
  return (
    <div className="stack" role="status" aria-label={label}>
      {SKELETON_WIDTHS.map((width) => (
        <div key={width} className="skeleton" style={{ width }} />
      ))}
    </div>
  );
}

export function Callout({ tone, icon, children }: { tone: "info" | "warn" | "bad"; icon?: IconName; children: ReactNode }) {
  return (
    <div className="callout" data-tone={tone} role={tone === "bad" ? "alert" : undefined}>
      <span className="callout-icon">
        <Icon name={icon ?? (tone === "info" ? "info" : "warn")} />
      </span>
      <div className="grow">{children}</div>
    </div>
  );
}
