import type { NavGroup } from "./nav-types.ts";
import { resourceNavigation } from "./resource-navigation.ts";

/** What the sidebar shows, top to bottom. */
export const navigation: readonly NavGroup[] = [
  {
    title: null,
    items: [
      { to: "/", label: "Home", icon: "home" },
      { to: "/sessions", label: "Sessions", icon: "sessions" },
    ],
  },
  ...resourceNavigation,
];
