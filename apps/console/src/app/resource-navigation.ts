import type { NavGroup } from "./nav-types.ts";

/** The sidebar's entries of what sessions are made from: one for each page of `resource-routes.ts`. */
export const resourceNavigation: readonly NavGroup[] = [
  {
    title: "What sessions are made from",
    items: [
      { to: "/agents", label: "Agents", icon: "agent" },
      { to: "/environments", label: "Environments", icon: "environment" },
      { to: "/vaults", label: "Vaults", icon: "vault" },
    ],
  },
];
