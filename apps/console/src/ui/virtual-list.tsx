import { type Virtualizer, useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, type Ref, useEffect, useImperativeHandle, useRef, useState } from "react";

/** Pixels from an edge at which more is asked for. */
const EDGE_PX = 600;
/** Pixels from the end within which a list that grows keeps showing its end. */
const FOLLOW_PX = 60;
const OVERSCAN = 8;

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
  const { label, items, itemKey, estimate, children, anchor = "start", before, after, gap = 0 } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [held, setHeld] = useState(false);
  const keyAt = (index: number): string => {
    const item = items[index];
    return item === undefined ? `missing-${index}` : itemKey(item);
  };
  const virtualizer = useVirtualizer({
    count: items.length,
    getScrollElement: () => scroller.current,
    estimateSize: (index) => {
      const item = items[index];
      return item === undefined ? 0 : estimate(item);
    },
    getItemKey: keyAt,
    overscan: OVERSCAN,
    gap,
    ...(anchor === "end" && !held && { anchorTo: "end", followOnAppend: true, scrollEndThreshold: FOLLOW_PX }),
  });
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

/** Once, when the first items are there. */
function useStartAtEnd(virtualizer: Virtualizer<HTMLDivElement, Element>, ready: boolean): void {
  useEffect(() => {
    if (ready) virtualizer.scrollToEnd();
  }, [ready, virtualizer]);
}
