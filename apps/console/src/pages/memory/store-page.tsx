import type { MemoryStore } from "@sandbox0/protocol";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { apiPath } from "../../api/api-path.ts";
import { Confirm } from "../../resources/confirm.tsx";
import { Loaded } from "../../resources/loaded.tsx";
import { useResource } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Badge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { Menu } from "../../ui/menu.tsx";
import { PageHeader, Section } from "../../ui/page.tsx";
import { EmptyState } from "../../ui/states.tsx";
import { Tabs } from "../../ui/tabs.tsx";
import { MemoryTree } from "./memory-tree.tsx";
import { MemoryVersions } from "./memory-versions.tsx";
import { MemoryView } from "./memory-view.tsx";
import { NewMemoryDialog } from "./new-memory-dialog.tsx";

export function MemoryStorePage() {
  const { storeId } = useParams({ from: "/memory/$storeId" });
  const store = useResource<MemoryStore>(apiPath`/v1/memory_stores/${storeId}`);
  return (
    <div className="page">
      <div className="page-inner">
        <Loaded reading={store} label="Loading the store">
          {(data) => (
            <>
              <PageHeader
                title={data.name}
                crumbs={<Link to="/memory">Memory</Link>}
                description={data.description ? <UntrustedLine text={data.description} /> : null}
                badge={data.archived_at === null ? null : <Badge tone="warn">Archived</Badge>}
                actions={<StoreActions store={data} />}
              />
              <Tabs
                label="Views of the store"
                tabs={[
                  { id: "memories", label: "Memories", content: <Memories store={data} /> },
                  {
                    id: "changes",
                    label: "All changes",
                    content: <MemoryVersions storeId={data.id} memoryId={null} currentVersionId={null} />,
                  },
                ]}
              />
            </>
          )}
        </Loaded>
      </div>
    </div>
  );
}

function Memories({ store }: { store: MemoryStore }) {
  const { memory } = useSearch({ from: "/memory/$storeId" });
  return (
    <div className="memory-split">
      <Section title="Browse">
        <MemoryTree storeId={store.id} selected={memory} />
      </Section>
      {memory === undefined ? (
        <EmptyState icon="memory" title="Choose a memory">
          <p>Its text and its versions are shown here.</p>
        </EmptyState>
      ) : (
        <MemoryView key={memory} storeId={store.id} memoryId={memory} readOnly={store.archived_at !== null} />
      )}
    </div>
  );
}

type Asked = "new" | "archive" | "delete" | null;

function StoreActions({ store }: { store: MemoryStore }) {
  const [asked, setAsked] = useState<Asked>(null);
  const navigate = useNavigate();
  const path = apiPath`/v1/memory_stores/${store.id}`;
  const archived = store.archived_at !== null;
  const close = () => setAsked(null);
  return (
    <>
      {archived ? null : (
        <Button variant="primary" icon="plus" onClick={() => setAsked("new")}>
          New memory
        </Button>
      )}
      <Menu
        label="More actions"
        items={[
          { label: "Archive", icon: "archive", disabled: archived, onSelect: () => setAsked("archive") },
          { label: "Delete", icon: "trash", tone: "bad", onSelect: () => setAsked("delete") },
        ]}
      />
      {asked === "new" ? <NewMemoryDialog storeId={store.id} onClose={close} /> : null}
      {asked === "archive" ? (
        <Confirm
          title="Archive this store?"
          description="It takes nothing more, also from sessions that run. This cannot be undone."
          submitLabel="Archive store"
          done="The store was archived."
          run={(client) => client.post(`${path}/archive`)}
          onClose={close}
        />
      ) : null}
      {asked === "delete" ? (
        <Confirm
          title="Delete this store?"
          description="All its memories and their versions are removed for good, also for sessions that run."
          submitLabel="Delete store"
          done="The store was deleted."
          run={(client) => client.delete(path)}
          leave={() => void navigate({ to: "/memory" })}
          onClose={close}
        />
      ) : null}
    </>
  );
}
