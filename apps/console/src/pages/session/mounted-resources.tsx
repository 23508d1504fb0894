import type { FileMetadata, SessionResource } from "@sandbox0/protocol";
import { useState } from "react";
import { problemText } from "../../api/problem.ts";
import { useSessionResources } from "../../api/sessions.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Button, IconButton } from "../../ui/button.tsx";
import { FormDialog } from "../../ui/dialog.tsx";
import { Section } from "../../ui/page.tsx";
import { Table } from "../../ui/table.tsx";
import { useToast } from "../../ui/toast.tsx";
import { AddFilesDialog } from "./add-files-dialog.tsx";
import { ReplaceTokenDialog } from "./replace-token-dialog.tsx";
import { useSessionView } from "./session-context.ts";

type FileResource = Extract<SessionResource, { type: "file" }>;
type RepositoryResource = Extract<SessionResource, { type: "github_repository" }>;

interface MountedResourcesProps {
  /** Those of the session that are known, for their names. */
  files: readonly FileMetadata[];
}

/** What the session was given to work with. Files come and go; the rest is there for life. */
export function MountedResources({ files }: MountedResourcesProps) {
  const { session, closed } = useSessionView();
  const [adding, setAdding] = useState(false);
  const [doomed, setDoomed] = useState<FileResource | null>(null);
  const [renewed, setRenewed] = useState<RepositoryResource | null>(null);
  const nameOf = (mount: SessionResource) => subjectOf(mount, files);
  return (
    <Section
      title="Mounted resources"
      actions={
        closed ? null : (
          <Button size="small" icon="plus" onClick={() => setAdding(true)}>
            Add files…
          </Button>
        )
      }
    >
      {session.resources.length === 0 ? <p className="muted">Nothing was given to this session.</p> : null}
      {session.resources.length > 0 ? (
        <Table
          caption="Mounted resources"
          rows={session.resources}
          rowKey={(mount) => ("id" in mount ? mount.id : mount.memory_store_id)}
          columns={[
            {
              title: "Path",
              cell: (mount) => (
                <code>
                  <UntrustedLine text={mount.mount_path ?? ""} />
                </code>
              ),
            },
            { title: "Kind", cell: kindOf },
            { title: "What", cell: (mount) => <UntrustedLine text={nameOf(mount)} /> },
            {
              title: "",
              cell: (mount) => (closed ? null : <Actions mount={mount} onRemove={setDoomed} onReplaceToken={setRenewed} />),
            },
          ]}
        />
      ) : null}
      {adding ? <AddFilesDialog sessionId={session.id} onClose={() => setAdding(false)} /> : null}
      {doomed ? (
        <RemoveFileDialog sessionId={session.id} file={doomed} name={nameOf(doomed)} onClose={() => setDoomed(null)} />
      ) : null}
      {renewed ? (
        <ReplaceTokenDialog sessionId={session.id} resourceId={renewed.id} url={renewed.url} onClose={() => setRenewed(null)} />
      ) : null}
    </Section>
  );
}

interface ActionsProps {
  mount: SessionResource;
  onRemove(file: FileResource): void;
  onReplaceToken(repository: RepositoryResource): void;
}

function Actions({ mount, onRemove, onReplaceToken }: ActionsProps) {
  if (mount.type === "memory_store") return null;
  return (
    <span className="row row-end">
      {mount.type === "file" ? (
        <IconButton icon="trash" size="small" label={`Remove ${mount.mount_path}`} onClick={() => onRemove(mount)} />
      ) : (
        <Button size="small" aria-label={`Replace token of ${mount.url}`} onClick={() => onReplaceToken(mount)}>
          Replace token
        </Button>
      )}
    </span>
  );
}

function subjectOf(mount: SessionResource, files: readonly FileMetadata[]): string {
  switch (mount.type) {
    case "file":
      return files.find(({ id }) => id === mount.file_id)?.filename ?? mount.file_id;
    case "github_repository": {
      const { url, checkout } = mount;
      return checkout ? `${url} at ${checkout.type === "branch" ? checkout.name : checkout.sha}` : url;
    }
    case "memory_store":
      return mount.name ?? mount.memory_store_id;
  }
}

function kindOf(mount: SessionResource): string {
  if (mount.type === "github_repository") return "repository";
  if (mount.type === "memory_store") return mount.access === "read_only" ? "memory store, to read" : "memory store";
  return "file";
}

interface RemoveFileDialogProps {
  sessionId: string;
  file: FileResource;
  name: string;
  onClose(): void;
}

function RemoveFileDialog({ sessionId, file, name, onClose }: RemoveFileDialogProps) {
  const { remove } = useSessionResources(sessionId);
  const toast = useToast();
  return (
    <FormDialog
      open
      onClose={onClose}
      title={`Remove ${name} from this session?`}
      description="Its copy is deleted, and gone from the sandbox at the next call. What was uploaded stays."
      submitLabel="Remove file"
      danger
      busy={remove.isPending}
      error={remove.error ? problemText(remove.error) : null}
      onSubmit={() =>
        remove.mutate(file.id, {
          onSuccess: () => {
            onClose();
            toast("The file was removed.");
          },
        })
      }
    >
      {null}
    </FormDialog>
  );
}
