import type { Memory, MemoryCreateParams } from "@sandbox0/protocol";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { apiPath } from "../../api/api-path.ts";
import { fieldProblems } from "../../resources/field-problems.ts";
import { ONCE, useChange } from "../../resources/use-resources.ts";
import { FormDialog } from "../../ui/dialog.tsx";
import { TextArea, TextField } from "../../ui/field.tsx";

export function NewMemoryDialog({ storeId, onClose }: { storeId: string; onClose(): void }) {
  const [path, setPath] = useState("/");
  const [content, setContent] = useState("");
  const create = useChange((client, params: MemoryCreateParams) =>
    client.post<Memory>(apiPath`/v1/memory_stores/${storeId}/memories`, { body: params, ...ONCE }),
  );
  const navigate = useNavigate();
  const refused = fieldProblems(create.error, ["path", "content"]);
  const submit = () =>
    create.mutate(
      { path, content },
      {
        onSuccess: (memory) => {
          onClose();
          void navigate({ to: "/memory/$storeId", params: { storeId }, search: { memory: memory.id } });
        },
      },
    );
  return (
    <FormDialog
      open
      onClose={onClose}
      title="New memory"
      size="wide"
      submitLabel="Create memory"
      busy={create.isPending}
      error={refused.rest}
      onSubmit={submit}
    >
      <TextField
        label="Path"
        mono
        required
        spellCheck={false}
        placeholder="/notes/todo.md"
        value={path}
        error={refused.fields.path}
        onChange={(event) => setPath(event.target.value)}
      />
      <TextArea
        label="Text"
        mono
        rows={12}
        value={content}
        error={refused.fields.content}
        onChange={(event) => setContent(event.target.value)}
      />
    </FormDialog>
  );
}
