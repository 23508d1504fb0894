import type { Memory } from "@sandbox0/protocol";
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { apiPath } from "../../api/api-path.ts";
import { Confirm } from "../../resources/confirm.tsx";
import { Loaded } from "../../resources/loaded.tsx";
import { resourceKey, useResource } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Button } from "../../ui/button.tsx";
import { CodeBlock } from "../../ui/code-block.tsx";
import { CopyId } from "../../ui/copy.tsx";
import { formatBytes } from "../../ui/format.ts";
import { Menu } from "../../ui/menu.tsx";
import { Section } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { lastSegment } from "./memory-paths.ts";
import { MemoryEditor } from "./memory-editor.tsx";
import { MemoryVersions } from "./memory-versions.tsx";

interface MemoryViewProps {
  storeId: string;
  memoryId: string;
  /** Its store is archived. */
  readOnly: boolean;
}

export function MemoryView({ storeId, memoryId, readOnly }: MemoryViewProps) {
  const memory = useResource<Memory>(apiPath`/v1/memory_stores/${storeId}/memories/${memoryId}`, { query: { view: "full" } });
  // What is edited is what it was when the editing began, whatever is read meanwhile.
  const [edited, setEdited] = useState<Memory | null>(null);
  return (
    <div className="memory-view">
      <Loaded reading={memory} label="Loading the memory">
        {(data) => (
          <>
            <MemoryHead memory={data} readOnly={readOnly || edited !== null} onEdit={() => setEdited(data)} />
            {edited ? (
              <MemoryEditor memory={edited} onClose={() => setEdited(null)} />
            ) : data.content ? (
              <CodeBlock text={data.content} label="Text" fileName={lastSegment(data.path)} />
            ) : (
              <p className="muted">This memory is empty.</p>
            )}
            <Section title="Versions">
              <MemoryVersions storeId={storeId} memoryId={memoryId} currentVersionId={data.memory_version_id} />
            </Section>
          </>
        )}
      </Loaded>
    </div>
  );
}

interface MemoryHeadProps {
  memory: Memory;
  readOnly: boolean;
  onEdit(): void;
}

function MemoryHead({ memory, readOnly, onEdit }: MemoryHeadProps) {
  const [deleting, setDeleting] = useState(false);
  const navigate = useNavigate();
  const queries = useQueryClient();
  const { memory_store_id: storeId } = memory;
  const leave = async () => {
    await navigate({ to: "/memory/$storeId", params: { storeId } });
    // The tree is still there, without it.
    await queries.invalidateQueries({ queryKey: resourceKey(apiPath`/v1/memory_stores/${storeId}/memories`) });
  };
  return (
    <div className="memory-head">
      <div className="grow">
        <h2 className="mono memory-path">
          <UntrustedLine text={memory.path} />
        </h2>
        <div className="row row-wrap small muted">
          <span>{formatBytes(memory.content_size_bytes)}</span>
          <span>
            changed <RelativeTime at={memory.updated_at} />
          </span>
          <CopyId id={memory.id} label="memory id" />
        </div>
      </div>
      {readOnly ? null : (
        <div className="row">
          <Button onClick={onEdit}>Edit</Button>
          <Menu
            label="Actions of the memory"
            items={[{ label: "Delete", icon: "trash", tone: "bad", onSelect: () => setDeleting(true) }]}
          />
        </div>
      )}
      {deleting ? (
        <Confirm
          title="Delete this memory?"
          description="It is gone for agents. Its versions stay, and can be redacted."
          submitLabel="Delete memory"
          done="The memory was deleted."
          run={(client) =>
            client.delete(apiPath`/v1/memory_stores/${storeId}/memories/${memory.id}`, {
              query: { expected_content_sha256: memory.content_sha256 },
            })
          }
          leave={() => void leave()}
          onClose={() => setDeleting(false)}
        />
      ) : null}
    </div>
  );
}
