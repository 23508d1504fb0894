import type { Memory } from "@sandbox0/protocol";
import { type FormEvent, useState } from "react";
import { apiPath } from "../../api/api-path.ts";
import { DiffView } from "../../resources/diff-view.tsx";
import { fieldProblems } from "../../resources/field-problems.ts";
import { useChange } from "../../resources/use-resources.ts";
import { useClient } from "../../api/client.ts";
import { problemText } from "../../api/problem.ts";
import { Button } from "../../ui/button.tsx";
import { TextArea, TextField } from "../../ui/field.tsx";
import { Callout } from "../../ui/states.tsx";
import { useToast } from "../../ui/toast.tsx";
import { isEditConflict, memoryUpdateParams } from "./memory-edit.ts";

interface Draft {
  path: string;
  content: string;
}
const draftOf = ({ path, content }: Memory): Draft => ({ path, content: content ?? "" });

/** An edit from its beginning to the answer; `theirs`: what somebody else made of the memory meanwhile. */
function useMemoryEdit(memory: Memory, onClose: () => void) {
  const [began, setBegan] = useState(memory);
  const [draft, setDraft] = useState(() => draftOf(memory));
  const [theirs, setTheirs] = useState<Memory | null>(null);
  const client = useClient();
  const toast = useToast();
  const at = apiPath`/v1/memory_stores/${memory.memory_store_id}/memories/${memory.id}`;
  const change = useChange((api, from: Memory) => api.post<Memory>(at, { body: memoryUpdateParams(from, draft) }));
  const showTheirs = async () => {
    try {
      setTheirs(await client.get<Memory>(at, { query: { view: "full" } }));
    } catch (error) {
      toast(problemText(error), "bad");
    }
  };
  const save = (from: Memory) =>
    change.mutate(from, {
      onSuccess: () => {
        onClose();
        toast("The memory was saved.");
      },
      onError: (error) => {
        if (isEditConflict(error)) void showTheirs();
      },
    });
  const goOnFrom = (newest: Memory) => {
    setBegan(newest);
    setTheirs(null);
  };
  return {
    draft,
    theirs,
    busy: change.isPending,
    error: change.error,
    change: (patch: Partial<Draft>) => setDraft((old) => ({ ...old, ...patch })),
    save: () => save(began),
    keepMine: (newest: Memory) => {
      goOnFrom(newest);
      save(newest);
    },
    takeTheirs: (newest: Memory) => {
      goOnFrom(newest);
      setDraft(draftOf(newest));
      change.reset();
    },
  };
}

/** Changes a memory, unless somebody else did meanwhile: then both texts are shown, and a person decides. */
export function MemoryEditor({ memory, onClose }: { memory: Memory; onClose(): void }) {
  const edit = useMemoryEdit(memory, onClose);
  const { draft, theirs, busy } = edit;
  const refused = fieldProblems(edit.error, ["path", "content"]);
  return (
    <form
      className="stack"
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        if (!busy) edit.save();
      }}
    >
      {theirs ? (
        <Conflict
          theirs={theirs}
          mine={draft.content}
          busy={busy}
          onKeepMine={() => edit.keepMine(theirs)}
          onTakeTheirs={() => edit.takeTheirs(theirs)}
        />
      ) : null}
      <TextField
        label="Path"
        mono
        spellCheck={false}
        value={draft.path}
        error={refused.fields.path}
        onChange={(event) => edit.change({ path: event.target.value })}
      />
      <TextArea
        label="Text"
        mono
        rows={16}
        value={draft.content}
        error={refused.fields.content}
        onChange={(event) => edit.change({ content: event.target.value })}
      />
      {refused.rest && !isEditConflict(edit.error) ? <Callout tone="bad">{refused.rest}</Callout> : null}
      <div className="row">
        <Button type="submit" variant="primary" busy={busy}>
          Save memory
        </Button>
        <Button variant="quiet" onClick={onClose}>
          Cancel
        </Button>
      </div>
    </form>
  );
}

interface ConflictProps {
  theirs: Memory;
  mine: string;
  busy: boolean;
  onKeepMine(): void;
  onTakeTheirs(): void;
}

function Conflict({ theirs, mine, busy, onKeepMine, onTakeTheirs }: ConflictProps) {
  return (
    <section className="stack stack-sm" aria-label="Conflict">
      <Callout tone="warn">
        <strong>Somebody changed this memory while you edited it.</strong> Nothing was saved. Below: what saving your text would
        make of theirs.
      </Callout>
      <DiffView label="From their text to yours" before={theirs.content ?? ""} after={mine} />
      <div className="row row-wrap">
        <Button busy={busy} onClick={onKeepMine}>
          Save mine over theirs
        </Button>
        <Button onClick={onTakeTheirs}>Go on with theirs</Button>
      </div>
    </section>
  );
}
