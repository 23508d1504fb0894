import { type Virtualizer, useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, type Ref, type RefObject, useEffect, useImperativeHandle, useRef, useState } from "react";

/** Pixels from an edge at which more is asked for. */
const EDGE_PX = 600;
/** Pixels from the end within which a list that grows keeps showing its end. */
const FOLLOW_PX = 60;
/** Beyond the edges, so that a fast scroll shows no gap before the next items are there. */
const OVERSCAN_PX = 600;

export interface VirtualListHandle {
  scrollToEnd(): void;
  scrollToIndex(index: number): void;
  /** What is in view stays where it is while items change their height, also at the end of the list; until somebody moves on. */
  holdPlace(): void;
}

interface VirtualListProps<T> {
  /** Its accessible name. */
  label: string;
  items: readonly T[];
  itemKey(item: T): string;
  /** Pixels, before an item has been measured. */
  estimate(item: T): number;
  children(item: T, index: number): ReactNode;
  /** `end`: opens at its end, follows what is appended, keeps its place when older items are put before it. */
  anchor?: "start" | "end";
  onNearStart?: () => void;
  onNearEnd?: () => void;
  onAtEnd?: (atEnd: boolean) => void;
  /** Shown before the first and after the last item. */
  before?: ReactNode;
  after?: ReactNode;
  handle?: Ref<VirtualListHandle>;
  gap?: number;
}

/** Only what is in view is in the document, however many items there are. Items may have any height. */
export function VirtualList<T>(props: VirtualListProps<T>) {
  const { label, items, children, anchor = "start", before, after } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [held, setHeld] = useState(false);
  const virtualizer = useRows(props, scroller, anchor === "end" && !held);
  useImperativeHandle(props.handle, () => ({
    scrollToEnd: () => {
      setHeld(false);
      virtualizer.scrollToEnd();
    },
    holdPlace: () => {
      virtualizer.cancelScroll();
      setHeld(true);
    },
    scrollToIndex: (index) => virtualizer.scrollToIndex(index, { align: "center" }),
  }));
  useStartAtEnd(virtualizer, anchor === "end" && items.length > 0);
  const watchEdges = (): void => {
    const element = scroller.current;
    if (element === null) return;
    const below = element.scrollHeight - element.scrollTop - element.clientHeight;
    props.onAtEnd?.(below < FOLLOW_PX);
    if (element.scrollTop < EDGE_PX) props.onNearStart?.();
    if (below < EDGE_PX) props.onNearEnd?.();
  };
  const release = (): void => setHeld(false);
  return (
    <section
      ref={scroller}
      className="virtual-scroll"
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
      tabIndex={0}
      onScroll={watchEdges}
      onWheel={release}
      onTouchMove={release}
      onPointerDown={release}
      onKeyDown={release}
    >
      {before}
      <ul className="virtual-space" style={{ height: virtualizer.getTotalSize() }}>
        {virtualizer.getVirtualItems().map((row) => {
          const item = items[row.index];
          return item === undefined ? null : (
            <li
              key={row.key}
              ref={virtualizer.measureElement}
              data-index={row.index}
              aria-setsize={items.length}
              aria-posinset={row.index + 1}
              className="virtual-row"
              style={{ transform: `translateY(${row.start}px)` }}
            >
              {children(item, row.index)}
            </li>
          );
        })}
      </ul>
      {after}
    </section>
  );
}

/** Places the items. `atEnd`: keeps to the end of the list while it is there. */
function useRows<T>(
  { items, itemKey, estimate, gap = 0 }: VirtualListProps<T>,
  scroller: RefObject<HTMLDivElement | null>,
  atEnd: boolean,
): Virtualizer<HTMLDivElement, Element> {
  const [first] = items;
  return useVirtualizer<HTMLDivElement, Element>({
    count: items.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => {
      const item = items[index];
      return item === undefined ? 0 : estimate(item);
    },
    getItemKey: (index) => {
      const item = items[index];
      return item === undefined ? `missing-${index}` : itemKey(item);
    },
    overscan: first === undefined ? 0 : Math.ceil(OVERSCAN_PX / Math.max(1, estimate(first))),
    gap,
    ...(atEnd && { anchorTo: "end", followOnAppend: true, scrollEndThreshold: FOLLOW_PX }),
  });
}

/** Once, when the first items are there. */
function useStartAtEnd(virtualizer: Virtualizer<HTMLDivElement, Element>, ready: boolean): void {
  useEffect(() => {
    if (ready) virtualizer.scrollToEnd();
  }, [ready, virtualizer]);
}
