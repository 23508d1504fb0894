import type { MemoryStore, MemoryStoreCreateParams } from "@sandbox0/protocol";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { fieldProblems } from "../../resources/field-problems.ts";
import { ListTable } from "../../resources/loaded.tsx";
import { ONCE, useChange, useResourceList } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Badge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { CopyId } from "../../ui/copy.tsx";
import { FormDialog } from "../../ui/dialog.tsx";
import { Checkbox, TextArea, TextField } from "../../ui/field.tsx";
import { Page } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";

export function MemoryStoresPage() {
  const [archived, setArchived] = useState(false);
  const [making, setMaking] = useState(false);
  const list = useResourceList<MemoryStore>("/v1/memory_stores", { ...(archived && { include_archived: true }) });
  return (
    <Page
      title="Memory"
      description="Stores of texts that outlive sessions. Agents read and write them as files."
      actions={
        <Button variant="primary" icon="plus" onClick={() => setMaking(true)}>
          New store
        </Button>
      }
    >
      <div className="toolbar">
        <Checkbox label="Archived, too" checked={archived} onChange={(event) => setArchived(event.target.checked)} />
      </div>
      <ListTable
        caption="Memory stores"
        list={list}
        icon="memory"
        emptyTitle="No memory stores yet"
        empty={<p>Make one, then give it to sessions: what one of them writes, the next ones find.</p>}
        rowKey={(store) => store.id}
        columns={[
          { title: "Name", cell: (store) => <StoreLink store={store} /> },
          { title: "Description", minor: true, cell: (store) => <UntrustedLine text={store.description} /> },
          { title: "Changed", cell: (store) => <RelativeTime at={store.updated_at} /> },
          { title: "Id", minor: true, cell: (store) => <CopyId id={store.id} label="store id" /> },
        ]}
      />
      {making ? <NewStoreDialog onClose={() => setMaking(false)} /> : null}
    </Page>
  );
}

function StoreLink({ store }: { store: MemoryStore }) {
  return (
    <span className="row">
      <Link to="/memory/$storeId" params={{ storeId: store.id }} className="table-link truncate">
        <UntrustedLine text={store.name} />
      </Link>
      {store.archived_at === null ? null : <Badge>Archived</Badge>}
    </span>
  );
}

function NewStoreDialog({ onClose }: { onClose(): void }) {
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const create = useChange((client, params: MemoryStoreCreateParams) =>
    client.post<MemoryStore>("/v1/memory_stores", { body: params, ...ONCE }),
  );
  const navigate = useNavigate();
  const refused = fieldProblems(create.error, ["name", "description"]);
  const params = { name: name.trim(), ...(description.trim() !== "" && { description: description.trim() }) };
  return (
    <FormDialog
      open
      onClose={onClose}
      title="New memory store"
      submitLabel="Create store"
      busy={create.isPending}
      error={refused.rest}
      onSubmit={() =>
        create.mutate(params, { onSuccess: (store) => void navigate({ to: "/memory/$storeId", params: { storeId: store.id } }) })
      }
    >
      <TextField
        label="Name"
        required
        maxLength={255}
        value={name}
        error={refused.fields.name}
        onChange={(event) => setName(event.target.value)}
      />
      <TextArea
        label="Description"
        hint="Agents read it: it tells them what belongs here."
        rows={2}
        maxLength={1024}
        value={description}
        error={refused.fields.description}
        onChange={(event) => setDescription(event.target.value)}
      />
    </FormDialog>
  );
}
