import { useState } from "react";
import { problemText } from "../../api/problem.ts";
import { FileDrop } from "../../resources/file-drop.tsx";
import { ProgressBar } from "../../resources/progress-bar.tsx";
import { upload } from "../../resources/upload.ts";
import { useChange } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { FormDialog } from "../../ui/dialog.tsx";
import { TextField } from "../../ui/field.tsx";
import { formatBytes, formatCount } from "../../ui/format.ts";
import { describeSkillProblem, pathOf, skillFiles, skillForm } from "./skill-upload.ts";

const NAMES_SHOWN = 6;

interface SkillUploadDialogProps<T> {
  title: string;
  submitLabel: string;
  /** Where it is posted. */
  path: string;
  /** A new skill may be given a name of its own. */
  named?: boolean;
  onDone(made: T): void;
  onClose(): void;
}

/** Chooses a zip archive or a folder, and sends it. */
export function SkillUploadDialog<T>({ title, submitLabel, path, named = false, onDone, onClose }: SkillUploadDialogProps<T>) {
  const [files, setFiles] = useState<readonly File[]>([]);
  const [name, setName] = useState("");
  const [fraction, setFraction] = useState<number | null>(null);
  const send = useChange((client, form: FormData) => upload<T>(client, path, form, { onProgress: setFraction }));
  const problem = files.length === 0 ? null : describeSkillProblem(files);
  const submit = () => {
    setFraction(0);
    send.mutate(skillForm(files, name), {
      onSuccess: (made) => {
        onClose();
        onDone(made);
      },
      onError: () => setFraction(null),
    });
  };
  return (
    <FormDialog
      open
      onClose={onClose}
      title={title}
      submitLabel={submitLabel}
      busy={send.isPending}
      disabled={files.length === 0 || problem !== null}
      error={problem ?? (send.error ? problemText(send.error) : null)}
      onSubmit={submit}
    >
      <FileDrop
        label="Files of the skill"
        folder
        accept=".zip,.skill,application/zip"
        hint="A zip archive, or a folder with a SKILL.md at its top."
        onFiles={(chosen) => setFiles(skillFiles(chosen))}
      />
      {files.length > 0 ? <ChosenFiles files={files} /> : null}
      {named ? (
        <TextField
          label="Name"
          hint="Left empty: the name that SKILL.md says."
          maxLength={255}
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
      ) : null}
      {fraction === null ? null : <ProgressBar label="Upload of the skill" fraction={fraction} />}
    </FormDialog>
  );
}

function ChosenFiles({ files }: { files: readonly File[] }) {
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  return (
    <div>
      <p className="small muted">
        {formatCount(files.length)} {files.length === 1 ? "file" : "files"}, {formatBytes(bytes)}
      </p>
      <ul className="mono small">
        {files.slice(0, NAMES_SHOWN).map((file) => (
          <li key={pathOf(file)} className="truncate">
            <UntrustedLine text={pathOf(file)} />
          </li>
        ))}
        {files.length > NAMES_SHOWN ? <li className="muted">and {files.length - NAMES_SHOWN} more</li> : null}
      </ul>
    </div>
  );
}
