import { Link, useRouterState } from "@tanstack/react-router";
import { type ReactNode, useEffect, useState } from "react";
import { IconButton } from "../ui/button.tsx";
import { Icon } from "../ui/icon.tsx";
import { Logo } from "./logo.tsx";
import { navigation } from "./navigation.ts";
import { useSignedIn } from "./signed-in.ts";
import { applyTheme, nextTheme, readTheme, type ThemeChoice } from "./theme.ts";
import { WaitingCount } from "./waiting-count.tsx";

/** Sidebar, page, and on a phone a bar with a menu. */
export function Shell({ children }: { children: ReactNode }) {
  const [menuOpen, setMenuOpen] = useState(false);
  const path = useRouterState({ select: (state) => state.location.pathname });
  // biome-ignore lint/correctness/useExhaustiveDependencies: the path is what the menu closes upon
  useEffect(() => setMenuOpen(false), [path]);
  return (
    <div className="shell">
      <a className="skip-link" href="#main">
        Skip to content
      </a>
      <header className="phone-bar">
        <IconButton icon="menu" label="Menu" aria-expanded={menuOpen} onClick={() => setMenuOpen(!menuOpen)} />
        <Link to="/" className="brand">
          <Logo /> Sandbox0
        </Link>
      </header>
      {menuOpen ? (
        <button type="button" className="sidebar-scrim" aria-label="Close menu" onClick={() => setMenuOpen(false)} />
      ) : null}
      <Sidebar open={menuOpen} />
      <main className="main" id="main" tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}

function Sidebar({ open }: { open: boolean }) {
  return (
    <aside className="sidebar" data-open={open} aria-label="Sidebar">
      <Link to="/" className="brand">
        <Logo /> Sandbox0 <small>console</small>
      </Link>
      <nav className="stack" aria-label="Main">
        {navigation.map((group) => (
          <div key={group.title ?? "main"}>
            {group.title ? <div className="nav-group-title">{group.title}</div> : null}
            <ul>
              {group.items.map((item) => (
                <li key={item.to}>
                  <Link to={item.to} className="nav-link" activeOptions={{ exact: item.to === "/", includeSearch: false }}>
                    <Icon name={item.icon} size={15} />
                    {item.label}
                    {item.to === "/" ? <WaitingCount /> : null}
                  </Link>
                </li>
              ))}
            </ul>
          </div>
        ))}
      </nav>
      <SidebarFoot />
    </aside>
  );
}

const THEME_LABELS: Record<ThemeChoice, string> = { system: "as the system", light: "light", dark: "dark" };
const THEME_ICONS = { system: "screen", light: "sun", dark: "moon" } as const;

function SidebarFoot() {
  const { signOut } = useSignedIn();
  const [theme, setTheme] = useState(readTheme);
  const change = () => {
    const next = nextTheme(theme);
    applyTheme(next);
    setTheme(next);
  };
  return (
    <div className="sidebar-foot">
      <button type="button" className="nav-link sidebar-button grow" onClick={signOut}>
        <Icon name="signOut" size={15} />
        Sign out
      </button>
      <IconButton icon={THEME_ICONS[theme]} label={`Theme: ${THEME_LABELS[theme]}`} onClick={change} />
    </div>
  );
}
