import type { ReactNode } from "react";

export interface Column<T> {
  /** Empty: a column of buttons. */
  title: string;
  /** Right-aligned figures. */
  numeric?: boolean;
  /** Left out where there is little room, as on a phone. */
  minor?: boolean;
  cell(row: T): ReactNode;
}

/** A table with a name. Its first column should hold the row's link. */
export function Table<T>({ caption, columns, rows, rowKey }: TableProps<T>) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls sideways must be reachable by keyboard
    <section className="table-wrap" aria-label={caption} tabIndex={0}>
      <table className="table">
        <caption className="visually-hidden">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.title} scope="col" className={classOf(column)}>
                {column.title === "" ? <span className="visually-hidden">Actions</span> : column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={rowKey(row)}>
              {columns.map((column) => (
                <td key={column.title} className={classOf(column)}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

function classOf({ numeric, minor }: Pick<Column<unknown>, "numeric" | "minor">): string | undefined {
  return [numeric ? "num" : "", minor ? "minor" : ""].filter(Boolean).join(" ") || undefined;
}

interface TableProps<T> {
  caption: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  rowKey(row: T): string;
}
