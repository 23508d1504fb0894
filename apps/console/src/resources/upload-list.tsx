import { UntrustedLine } from "../text/untrusted.tsx";
import { IconButton } from "../ui/button.tsx";
import { ProgressBar } from "./progress-bar.tsx";
import type { Upload } from "./uploads.ts";

const STATES: Readonly<Record<Upload["state"], string>> = {
  waiting: "waits",
  sending: "on its way",
  storing: "being stored",
  failed: "failed",
};

/** Files on their way, and those that did not arrive. */
export function UploadList({ uploads, onDismiss }: { uploads: readonly Upload[]; onDismiss(id: number): void }) {
  if (uploads.length === 0) return null;
  return (
    <ul className="stack stack-sm" aria-label="Uploads" aria-live="polite">
      {uploads.map((each) => (
        <li key={each.id} className="upload">
          <span className="truncate">
            <UntrustedLine text={each.name} />
          </span>
          {each.state === "failed" ? (
            <span className="field-error">{each.problem}</span>
          ) : (
            <ProgressBar label={`Upload of ${each.name}`} fraction={each.fraction} />
          )}
          <span className="muted small">{STATES[each.state]}</span>
          {each.state === "failed" ? (
            <IconButton icon="close" size="small" label={`Dismiss ${each.name}`} onClick={() => onDismiss(each.id)} />
          ) : null}
        </li>
      ))}
    </ul>
  );
}
