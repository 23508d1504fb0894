import type { Snapshot } from "@sandbox0/protocol";
import { useState } from "react";
import { useNavigate } from "@tanstack/react-router";
import { problemText } from "../../api/problem.ts";
import { useForkSession, useSnapshotActions, useSnapshots } from "../../api/sessions.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Button } from "../../ui/button.tsx";
import { CopyId } from "../../ui/copy.tsx";
import { FormDialog } from "../../ui/dialog.tsx";
import { TextField } from "../../ui/field.tsx";
import { Menu } from "../../ui/menu.tsx";
import { Section } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { EmptyState, ErrorState, LoadingState } from "../../ui/states.tsx";
import { Table } from "../../ui/table.tsx";
import { useToast } from "../../ui/toast.tsx";
import { useSessionView } from "./session-context.ts";

/** Points of the session that can be gone back to, or forked from. */
export function SnapshotsView() {
  const { session, running, closed } = useSessionView();
  const { data, error, isPending, refetch, hasNextPage, fetchNextPage } = useSnapshots(session.id);
  const [taking, setTaking] = useState(false);
  const snapshots = data?.pages.flatMap((page) => page.data) ?? [];
  const take = (
    <Button icon="plus" disabled={running || closed} onClick={() => setTaking(true)}>
      Take snapshot
    </Button>
  );
  return (
    <div className="view-scroll">
      <Section title="Snapshots" actions={take}>
        {running ? <p className="muted small">A snapshot is taken, and a session restored, while it is idle.</p> : null}
        {isPending ? <LoadingState /> : null}
        {error ? <ErrorState error={error} onRetry={() => void refetch()} /> : null}
        {data && snapshots.length === 0 ? (
          <EmptyState icon="fork" title="No snapshots yet">
            <p>A snapshot keeps the conversation and the files as they are, to fork from or to go back to.</p>
          </EmptyState>
        ) : null}
        {snapshots.length > 0 ? <SnapshotTable snapshots={snapshots} /> : null}
        {hasNextPage ? <Button onClick={() => void fetchNextPage()}>Load more</Button> : null}
      </Section>
      <TakeDialog open={taking} onClose={() => setTaking(false)} />
    </div>
  );
}

function SnapshotTable({ snapshots }: { snapshots: readonly Snapshot[] }) {
  const [restoring, setRestoring] = useState<Snapshot | null>(null);
  return (
    <>
      <Table
        caption="Snapshots"
        rows={snapshots}
        rowKey={(snapshot) => snapshot.id}
        columns={[
          { title: "Name", cell: (snapshot) => <UntrustedLine text={snapshot.name ?? "Unnamed"} /> },
          { title: "Taken", cell: (snapshot) => <RelativeTime at={snapshot.created_at} /> },
          { title: "Id", cell: (snapshot) => <CopyId id={snapshot.id} label="snapshot id" /> },
          { title: "", cell: (snapshot) => <SnapshotMenu snapshot={snapshot} onRestore={() => setRestoring(snapshot)} /> },
        ]}
      />
      {restoring ? <RestoreDialog snapshot={restoring} onClose={() => setRestoring(null)} /> : null}
    </>
  );
}

function SnapshotMenu({ snapshot, onRestore }: { snapshot: Snapshot; onRestore(): void }) {
  const { session, running, closed } = useSessionView();
  const { remove } = useSnapshotActions(session.id);
  const fork = useForkSession(session.id);
  const navigate = useNavigate();
  const toast = useToast();
  const onError = (error: unknown) => toast(problemText(error), "bad");
  const forkIt = () =>
    fork.mutate(
      { snapshot_id: snapshot.id },
      {
        onError,
        onSuccess: (made) => {
          toast("The session was forked.");
          void navigate({ to: "/sessions/$sessionId", params: { sessionId: made.id } });
        },
      },
    );
  return (
    <Menu
      label={`Actions of snapshot ${snapshot.name ?? snapshot.id}`}
      items={[
        { label: "Fork from here", icon: "fork", onSelect: forkIt },
        { label: "Restore", icon: "refresh", disabled: running || closed, onSelect: onRestore },
        { label: "Delete", icon: "trash", tone: "bad", onSelect: () => remove.mutate(snapshot.id, { onError }) },
      ]}
    />
  );
}

function TakeDialog({ open, onClose }: { open: boolean; onClose(): void }) {
  const { session } = useSessionView();
  const { take } = useSnapshotActions(session.id);
  const [name, setName] = useState("");
  const toast = useToast();
  const submit = () =>
    take.mutate(name.trim(), {
      onSuccess: () => {
        setName("");
        onClose();
        toast("The snapshot was taken.");
      },
    });
  return (
    <FormDialog
      open={open}
      onClose={onClose}
      title="Take a snapshot"
      description="Keeps the conversation and the files as they are now. It may take some seconds until the files are kept."
      submitLabel="Take snapshot"
      busy={take.isPending}
      error={take.error ? problemText(take.error) : null}
      onSubmit={submit}
    >
      <TextField label="Name" value={name} placeholder="before the migration" onChange={(event) => setName(event.target.value)} />
    </FormDialog>
  );
}

function RestoreDialog({ snapshot, onClose }: { snapshot: Snapshot; onClose(): void }) {
  const { session, log } = useSessionView();
  const { restore } = useSnapshotActions(session.id);
  const toast = useToast();
  const submit = () =>
    restore.mutate(snapshot.id, {
      onSuccess: () => {
        log.reload();
        onClose();
        toast("The session was restored.");
      },
    });
  return (
    <FormDialog
      open
      onClose={onClose}
      title="Restore this snapshot?"
      description="What came after it is taken back from the conversation and the files. Later snapshots still lead to it."
      submitLabel="Restore"
      busy={restore.isPending}
      error={restore.error ? problemText(restore.error) : null}
      onSubmit={submit}
    >
      {null}
    </FormDialog>
  );
}
