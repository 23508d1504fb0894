import type { ReactNode } from "react";
import { Button } from "../ui/button.tsx";
import type { IconName } from "../ui/icon.tsx";
import { EmptyState, ErrorState, LoadingState } from "../ui/states.tsx";
import { type Column, Table } from "../ui/table.tsx";
import type { ResourceList } from "./use-resources.ts";

interface Reading<T> {
  data: T | undefined;
  error: unknown;
  refetch(): Promise<unknown>;
}

/** What was read, or that it is being read, or why it was not. What was read once stays while it is read again. */
export function Loaded<T>({ reading, label, children }: { reading: Reading<T>; label?: string; children(data: T): ReactNode }) {
  if (reading.data !== undefined) return children(reading.data);
  if (reading.error) return <ErrorState error={reading.error} onRetry={() => void reading.refetch()} />;
  return <LoadingState {...(label && { label })} />;
}

interface ListTableProps<T> {
  caption: string;
  list: ResourceList<T>;
  columns: readonly Column<T>[];
  rowKey(row: T): string;
  icon: IconName;
  /** What is said when there is none. */
  emptyTitle: string;
  empty?: ReactNode;
}

/** A list as a table, with "Load more" where there is more. */
export function ListTable<T>({ caption, list, columns, rowKey, icon, emptyTitle, empty }: ListTableProps<T>) {
  return (
    <Loaded reading={{ ...list, data: list.rows }} label={`Loading ${caption.toLowerCase()}`}>
      {(rows) =>
        rows.length === 0 ? (
          <EmptyState icon={icon} title={emptyTitle}>
            {empty}
          </EmptyState>
        ) : (
          <div className="stack">
            <Table caption={caption} rows={rows} rowKey={rowKey} columns={columns} />
            <LoadMore list={list} />
          </div>
        )
      }
    </Loaded>
  );
}

export function LoadMore<T>({ list }: { list: ResourceList<T> }) {
  if (!list.hasNextPage) return null;
  return (
    <div className="row">
      <Button busy={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
        Load more
      </Button>
    </div>
  );
}
