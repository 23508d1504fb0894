import type { Memory, MemoryListItem } from "@sandbox0/protocol";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { apiPath } from "../../api/api-path.ts";
import { Loaded, LoadMore } from "../../resources/loaded.tsx";
import { useResource, useResourceList } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Icon } from "../../ui/icon.tsx";
import { holds, lastSegment } from "./memory-paths.ts";

const ROOT = "/";
const PAGE_ITEMS = 100;

/** The memories of a store by their paths; a folder is read when it is opened. */
export function MemoryTree({ storeId, selected }: { storeId: string; selected: string | undefined }) {
  const { data } = useResource<Memory>(apiPath`/v1/memory_stores/${storeId}/memories/${selected ?? "none"}`, {
    query: { view: "basic" },
    enabled: selected !== undefined,
  });
  return (
    <nav aria-label="Memories">
      <Level storeId={storeId} prefix={ROOT} selected={selected} selectedPath={data?.path} />
    </nav>
  );
}

interface LevelProps {
  storeId: string;
  prefix: string;
  selected: string | undefined;
  /** The folders on the way to it are open. */
  selectedPath: string | undefined;
}

function Level({ storeId, prefix, selected, selectedPath }: LevelProps) {
  const list = useResourceList<MemoryListItem>(apiPath`/v1/memory_stores/${storeId}/memories`, {
    path_prefix: prefix,
    depth: 1,
    view: "basic",
    limit: PAGE_ITEMS,
  });
  return (
    <Loaded reading={{ ...list, data: list.rows }} label="Loading memories">
      {(items) =>
        items.length === 0 ? (
          <p className="muted">{prefix === ROOT ? "No memories yet." : "Empty."}</p>
        ) : (
          <>
            <ul className="tree">
              {foldersFirst(items).map((item) =>
                item.type === "memory_prefix" ? (
                  <Folder key={item.path} {...{ storeId, selected, selectedPath }} prefix={item.path} />
                ) : (
                  <Leaf key={item.id} memory={item} storeId={storeId} selected={item.id === selected} />
                ),
              )}
            </ul>
            <LoadMore list={list} />
          </>
        )
      }
    </Loaded>
  );
}

function foldersFirst(items: readonly MemoryListItem[]): MemoryListItem[] {
  return [...items.filter(({ type }) => type === "memory_prefix"), ...items.filter(({ type }) => type === "memory")];
}

function Folder(props: LevelProps) {
  const [chosen, setChosen] = useState<boolean | null>(null);
  const onTheWay = props.selectedPath !== undefined && holds(props.prefix, props.selectedPath);
  const open = chosen ?? onTheWay;
  return (
    <li>
      <button type="button" className="tree-item" aria-expanded={open} onClick={() => setChosen(!open)}>
        <span className="tree-twist" data-open={open}>
          <Icon name="chevron" size={12} />
        </span>
        <span className="truncate">
          <UntrustedLine text={`${lastSegment(props.prefix)}/`} />
        </span>
      </button>
      {open ? <Level {...props} /> : null}
    </li>
  );
}

function Leaf({ memory, storeId, selected }: { memory: Memory; storeId: string; selected: boolean }) {
  return (
    <li>
      <Link
        to="/memory/$storeId"
        params={{ storeId }}
        search={{ memory: memory.id }}
        className="tree-item"
        aria-current={selected ? "true" : undefined}
        data-selected={selected}
      >
        <Icon name="file" size={13} />
        <span className="truncate">
          <UntrustedLine text={lastSegment(memory.path)} />
        </span>
      </Link>
    </li>
  );
}
