import type { Actor, MemoryVersion } from "@sandbox0/protocol";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { apiPath } from "../../api/api-path.ts";
import { Confirm } from "../../resources/confirm.tsx";
import { DiffView } from "../../resources/diff-view.tsx";
import { Loaded, LoadMore } from "../../resources/loaded.tsx";
import { useResource, useResourceList } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Badge, type Tone } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { EmptyState } from "../../ui/states.tsx";

interface MemoryVersionsProps {
  storeId: string;
  /** `null`: of all memories of the store, also those that were deleted. */
  memoryId: string | null;
  /** It cannot be redacted; `null`: not known, and the server says so. */
  currentVersionId: string | null;
}

/** What changed, when and by whom; each change can be looked at, and its text taken out for good. */
export function MemoryVersions({ storeId, memoryId, currentVersionId }: MemoryVersionsProps) {
  const list = useResourceList<MemoryVersion>(apiPath`/v1/memory_stores/${storeId}/memory_versions`, {
    view: "basic",
    ...(memoryId !== null && { memory_id: memoryId }),
  });
  return (
    <Loaded reading={{ ...list, data: list.rows }} label="Loading versions">
      {(versions) =>
        versions.length === 0 ? (
          <EmptyState icon="memory" title="No changes yet" />
        ) : (
          <div className="stack">
            <ul className="versions" aria-label="Versions">
              {versions.map((version, index) => (
                <Version
                  key={version.id}
                  version={version}
                  before={versions.slice(index + 1).find((each) => each.memory_id === version.memory_id)}
                  complete={!list.hasNextPage}
                  showPath={memoryId === null}
                  current={version.id === currentVersionId}
                />
              ))}
            </ul>
            <LoadMore list={list} />
          </div>
        )
      }
    </Loaded>
  );
}

const LOOKS: Readonly<Record<MemoryVersion["operation"], { tone: Tone; text: string }>> = {
  created: { tone: "ok", text: "Created" },
  modified: { tone: "info", text: "Changed" },
  deleted: { tone: "bad", text: "Deleted" },
};

interface VersionProps {
  version: MemoryVersion;
  before: MemoryVersion | undefined;
  /** All versions are there: one without another before it is the first that is kept. */
  complete: boolean;
  showPath: boolean;
  current: boolean;
}

function Version({ version, before, complete, showPath, current }: VersionProps) {
  const [open, setOpen] = useState(false);
  const [redacting, setRedacting] = useState(false);
  const redacted = version.redacted_at !== null && version.redacted_at !== undefined;
  const look = LOOKS[version.operation];
  return (
    <li className="version">
      <div className="row row-wrap">
        <Badge tone={look.tone}>{look.text}</Badge>
        {current ? <Badge>Now</Badge> : null}
        {redacted ? <Badge tone="violet">Redacted</Badge> : null}
        {showPath && version.path ? (
          <span className="mono small truncate">
            <UntrustedLine text={version.path} />
          </span>
        ) : null}
        <span className="muted small grow">
          <RelativeTime at={version.created_at} /> <ActorName actor={version.created_by} />
        </span>
        {redacted ? null : (
          <Button size="small" variant="quiet" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? "Hide change" : "Show change"}
          </Button>
        )}
        {redacted || current ? null : (
          <Button size="small" variant="quiet" onClick={() => setRedacting(true)}>
            Redact
          </Button>
        )}
      </div>
      {open && !redacted ? <Change version={version} before={before} complete={complete} /> : null}
      {redacting ? (
        <Confirm
          title="Redact this version?"
          description="Its text, its path and their hash are erased for good. That there was a change stays on record."
          submitLabel="Redact version"
          done="The version was redacted."
          run={(client) =>
            client.post(apiPath`/v1/memory_stores/${version.memory_store_id}/memory_versions/${version.id}/redact`)
          }
          onClose={() => setRedacting(false)}
        />
      ) : null}
    </li>
  );
}

/** Against the version before it; the first one that is kept, against nothing. */
function Change({ version, before, complete }: Pick<VersionProps, "version" | "before" | "complete">) {
  const pathOf = ({ id }: MemoryVersion) => apiPath`/v1/memory_stores/${version.memory_store_id}/memory_versions/${id}`;
  const now = useResource<MemoryVersion>(pathOf(version));
  const earlier = useResource<MemoryVersion>(pathOf(before ?? version), { enabled: before !== undefined });
  if (before === undefined && version.operation !== "created" && !complete)
    return <p className="muted small">The version before it is further down: load more to compare.</p>;
  return (
    <Loaded reading={now}>
      {(after) =>
        before === undefined ? (
          <Difference before={null} after={after} />
        ) : (
          <Loaded reading={earlier}>{(old) => <Difference before={old} after={after} />}</Loaded>
        )
      }
    </Loaded>
  );
}

function Difference({ before, after }: { before: MemoryVersion | null; after: MemoryVersion }) {
  const moved = before?.path && after.path && before.path !== after.path;
  const erased = before?.redacted_at ? <p className="muted small">The text before it was redacted.</p> : null;
  return (
    <div className="stack stack-sm version-change">
      {moved ? (
        <p className="small">
          Moved from <code>{before.path}</code> to <code>{after.path}</code>
        </p>
      ) : null}
      {erased}
      <DiffView label="Change" before={before?.content ?? ""} after={after.content ?? ""} />
    </div>
  );
}

function ActorName({ actor }: { actor: Actor | undefined }) {
  if (actor === undefined) return null;
  switch (actor.type) {
    case "session_actor":
      return (
        <>
          by{" "}
          <Link to="/sessions/$sessionId" params={{ sessionId: actor.session_id }}>
            a session
          </Link>
        </>
      );
    case "api_actor":
      return (
        <>
          with the key <code>{actor.api_key_id}</code>
        </>
      );
    case "user_actor":
      return <>by {actor.user_id}</>;
    case "service_account_actor":
      return <>by {actor.service_account_id}</>;
  }
}
