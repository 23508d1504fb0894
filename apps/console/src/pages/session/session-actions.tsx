import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { problemText } from "../../api/problem.ts";
import { useArchiveSession, useDeleteSession, useForkSession, useSendEvents } from "../../api/sessions.ts";
import { Button } from "../../ui/button.tsx";
import { FormDialog } from "../../ui/dialog.tsx";
import { TextField } from "../../ui/field.tsx";
import { Menu } from "../../ui/menu.tsx";
import { useToast } from "../../ui/toast.tsx";
import { useSessionView } from "./session-context.ts";

type Asked = "archive" | "delete" | "fork" | null;

export function SessionActions() {
  const { session, running, closed } = useSessionView();
  const [asked, setAsked] = useState<Asked>(null);
  const close = () => setAsked(null);
  return (
    <div className="row">
      {running ? <InterruptButton sessionId={session.id} /> : null}
      <Button icon="fork" onClick={() => setAsked("fork")}>
        Fork
      </Button>
      <Menu
        label="More actions"
        items={[
          { label: "Archive", icon: "archive", disabled: closed || running, onSelect: () => setAsked("archive") },
          { label: "Delete", icon: "trash", tone: "bad", disabled: running, onSelect: () => setAsked("delete") },
        ]}
      />
      <ForkDialog open={asked === "fork"} onClose={close} />
      <ArchiveDialog open={asked === "archive"} onClose={close} />
      <DeleteDialog open={asked === "delete"} onClose={close} />
    </div>
  );
}

function InterruptButton({ sessionId }: { sessionId: string }) {
  const send = useSendEvents(sessionId);
  const toast = useToast();
  const interrupt = () => send.mutate([{ type: "user.interrupt" }], { onError: (error) => toast(problemText(error), "bad") });
  return (
    <Button icon="stop" busy={send.isPending} onClick={interrupt}>
      Interrupt
    </Button>
  );
}

interface Asking {
  open: boolean;
  onClose(): void;
}

function ForkDialog({ open, onClose }: Asking) {
  const { session } = useSessionView();
  const [title, setTitle] = useState("");
  const fork = useForkSession(session.id);
  const navigate = useNavigate();
  const toast = useToast();
  const submit = () =>
    fork.mutate(title.trim() === "" ? {} : { title: title.trim() }, {
      onSuccess: (made) => {
        onClose();
        toast("The session was forked.");
        void navigate({ to: "/sessions/$sessionId", params: { sessionId: made.id } });
      },
    });
  return (
    <FormDialog
      open={open}
      onClose={onClose}
      title="Fork this session"
      description="A new session with the same conversation and files. The two go their own ways from here."
      submitLabel="Fork session"
      busy={fork.isPending}
      error={fork.error ? problemText(fork.error) : null}
      onSubmit={submit}
    >
      <TextField
        label="Title of the fork"
        value={title}
        placeholder={session.title ?? "Untitled session"}
        onChange={(event) => setTitle(event.target.value)}
      />
    </FormDialog>
  );
}

function ArchiveDialog({ open, onClose }: Asking) {
  const { session } = useSessionView();
  const archive = useArchiveSession(session.id);
  const toast = useToast();
  const submit = () =>
    archive.mutate(undefined, {
      onSuccess: () => {
        onClose();
        toast("The session was archived.");
      },
    });
  return (
    <FormDialog
      open={open}
      onClose={onClose}
      title="Archive this session?"
      description="It stays readable and takes no more messages. This cannot be undone."
      submitLabel="Archive session"
      busy={archive.isPending}
      error={archive.error ? problemText(archive.error) : null}
      onSubmit={submit}
    >
      {null}
    </FormDialog>
  );
}

function DeleteDialog({ open, onClose }: Asking) {
  const { session } = useSessionView();
  const remove = useDeleteSession(session.id);
  const navigate = useNavigate();
  const toast = useToast();
  const submit = () =>
    remove.mutate(undefined, {
      onSuccess: () => {
        onClose();
        toast("The session was deleted.");
        void navigate({ to: "/sessions" });
      },
    });
  return (
    <FormDialog
      open={open}
      onClose={onClose}
      title="Delete this session?"
      description="Its events, files and snapshots are removed for good."
      submitLabel="Delete session"
      danger
      busy={remove.isPending}
      error={remove.error ? problemText(remove.error) : null}
      onSubmit={submit}
    >
      {null}
    </FormDialog>
  );
}
