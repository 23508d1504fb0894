import { type RefObject, useEffect, useRef } from "react";

const FIELDS = "input, select, textarea";

/**
 * A row that is added has the focus; when one is taken out, its group has it, for whoever works with a keyboard must not lose
 * their place. @param count of the rows, which are the elements with `data-row` in the group
 */
export function useRowFocus(count: number): RefObject<HTMLFieldSetElement | null> {
  const group = useRef<HTMLFieldSetElement>(null);
  const before = useRef(count);
  useEffect(() => {
    const was = before.current;
    before.current = count;
    if (count > was)
      [...(group.current?.querySelectorAll("[data-row]") ?? [])].at(-1)?.querySelector<HTMLElement>(FIELDS)?.focus();
    if (count < was) group.current?.focus();
  }, [count]);
  return group;
}
