import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import { plainLine } from "../text/untrusted-text.ts";
import { IconButton } from "./button.tsx";
import { Icon, type IconName } from "./icon.tsx";

const GAP_PX = 4;

export interface MenuItem {
  label: string;
  icon?: IconName;
  tone?: "normal" | "bad";
  disabled?: boolean;
  onSelect(): void;
}

/** A button that opens a list of actions; arrows move, Escape and a click elsewhere close it. */
export function Menu({ label, icon = "more", items }: { label: string; icon?: IconName; items: readonly MenuItem[] }) {
  const [open, setOpen] = useState(false);
  const anchor = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  useEffect(() => {
    if (!open || list.current === null || anchor.current === null) return undefined;
    place(list.current, anchor.current.getBoundingClientRect());
    list.current.querySelector<HTMLElement>("[role=menuitem]:not(:disabled)")?.focus();
    const closeOutside = (event: PointerEvent) => {
      if (event.target instanceof Node && !anchor.current?.contains(event.target)) setOpen(false);
    };
    // It stays where it was put, and what it belongs to scrolls away.
    const closeOnScroll = (event: Event) => {
      if (event.target instanceof Node && event.target.contains(anchor.current)) setOpen(false);
    };
    document.addEventListener("pointerdown", closeOutside);
    document.addEventListener("scroll", closeOnScroll, { capture: true });
    return () => {
      document.removeEventListener("pointerdown", closeOutside);
      document.removeEventListener("scroll", closeOnScroll, { capture: true });
    };
  }, [open]);
  const close = () => {
    setOpen(false);
    anchor.current?.querySelector("button")?.focus();
  };
  return (
    <div className="menu-anchor" ref={anchor}>
      <IconButton
        icon={icon}
        label={label}
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        onClick={() => setOpen(!open)}
      />
      {open ? (
        <div
          className="menu"
          popover="manual"
          role="menu"
          id={id}
          aria-label={plainLine(label)}
          ref={list}
          tabIndex={-1}
          onKeyDown={(e) => moveFocus(e, close)}
        >
          {items.map((item) => (
            <button
              key={item.label}
              type="button"
              role="menuitem"
              className="menu-item"
              data-tone={item.tone ?? "normal"}
              disabled={item.disabled}
              onClick={() => {
                close();
                item.onSelect();
              }}
            >
              {item.icon ? <Icon name={item.icon} size={14} /> : null}
              {item.label}
            </button>
          ))}
        </div>
      ) : null}
    </div>
  );
}

/** Above everything, so that no table or list cuts it off: under the button, or over it where there is no room. */
function place(menu: HTMLElement, button: DOMRect): void {
  menu.showPopover();
  const below = button.bottom + GAP_PX;
  const fits = below + menu.offsetHeight <= window.innerHeight;
  menu.style.top = `${fits ? below : Math.max(0, button.top - GAP_PX - menu.offsetHeight)}px`;
  menu.style.left = `${Math.max(GAP_PX, button.right - menu.offsetWidth)}px`;
}

function moveFocus(event: KeyboardEvent<HTMLDivElement>, close: () => void): void {
  const items = [...event.currentTarget.querySelectorAll<HTMLElement>("[role=menuitem]:not(:disabled)")];
  const at = items.indexOf(document.activeElement as HTMLElement);
  const targets: Record<string, number> = {
    ArrowDown: (at + 1) % items.length,
    ArrowUp: (at - 1 + items.length) % items.length,
    Home: 0,
    End: items.length - 1,
  };
  if (event.key === "Escape" || event.key === "Tab") close();
  const target = targets[event.key];
  if (target === undefined) return;
  event.preventDefault();
  items[target]?.focus();
}
