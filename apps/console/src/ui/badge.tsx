import type { SessionStatus } from "@sandbox0/protocol";
import type { ReactNode } from "react";

export type Tone = "mute" | "info" | "ok" | "warn" | "bad" | "violet";

export function Badge({ tone = "mute", dot = false, live = false, children }: BadgeProps) {
  return (
    <span className="badge" data-tone={tone}>
      {dot ? <span className="badge-dot" data-live={live} /> : null}
      {children}
    </span>
  );
}

interface BadgeProps {
  tone?: Tone;
  dot?: boolean;
  /** The dot pulses: something happens now. */
  live?: boolean;
  children: ReactNode;
}

const LOOKS: Record<SessionStatus | "archived" | "waiting", { tone: Tone; text: string; live?: boolean }> = {
  running: { tone: "info", text: "Running", live: true },
  rescheduling: { tone: "warn", text: "Retrying", live: true },
  idle: { tone: "mute", text: "Idle" },
  waiting: { tone: "warn", text: "Needs you" },
  terminated: { tone: "mute", text: "Terminated" },
  archived: { tone: "mute", text: "Archived" },
};

/** `waiting`: idle, with calls that a person must answer. */
export function StatusBadge({ status }: { status: keyof typeof LOOKS }) {
  const { tone, text, live = false } = LOOKS[status];
  return (
    <Badge tone={tone} dot live={live}>
      {text}
    </Badge>
  );
}
