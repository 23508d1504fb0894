import type { Memory } from "@sandbox0/protocol";
import { type FormEvent, useState } from "react";
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

/** Changes a memory, unless somebody else did meanwhile: then both texts are shown, and a person decides. */
export function MemoryEditor({ memory, onClose }: { memory: Memory; onClose(): void }) {
  const [began, setBegan] = useState(memory);
  const [path, setPath] = useState(memory.path);
  const [content, setContent] = useState(memory.content ?? "");
  const [theirs, setTheirs] = useState<Memory | null>(null);
  const client = useClient();
  const toast = useToast();
  const at = `/v1/memory_stores/${memory.memory_store_id}/memories/${memory.id}`;
  const save = useChange((api, from: Memory) => api.post<Memory>(at, { body: memoryUpdateParams(from, { path, content }) }));
  const showTheirs = async () => {
    try {
      setTheirs(await client.get<Memory>(at, { query: { view: "full" } }));
    } catch (error) {
      toast(problemText(error), "bad");
    }
  };
  const submit = (from: Memory) =>
    save.mutate(from, {
      onSuccess: () => {
        onClose();
        toast("The memory was saved.");
      },
      onError: (error) => {
        if (isEditConflict(error)) void showTheirs();
      },
    });
  const refused = fieldProblems(save.error, ["path", "content"]);
  return (
    <form
      className="stack"
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        if (!save.isPending) submit(began);
      }}
    >
      {theirs ? (
        <Conflict
          theirs={theirs}
          mine={content}
          busy={save.isPending}
          onKeepMine={() => {
            setBegan(theirs);
            setTheirs(null);
            submit(theirs);
          }}
          onTakeTheirs={() => {
            setBegan(theirs);
            setPath(theirs.path);
            setContent(theirs.content ?? "");
            setTheirs(null);
            save.reset();
          }}
        />
      ) : null}
      <TextField
        label="Path"
        mono
        spellCheck={false}
        value={path}
        error={refused.fields.path}
        onChange={(event) => setPath(event.target.value)}
      />
      <TextArea
        label="Text"
        mono
        rows={16}
        value={content}
        error={refused.fields.content}
        onChange={(event) => setContent(event.target.value)}
      />
      {refused.rest && !isEditConflict(save.error) ? <Callout tone="bad">{refused.rest}</Callout> : null}
      <div className="row">
        <Button type="submit" variant="primary" busy={save.isPending}>
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
