import type { NavGroup } from "./nav-types.ts";

/** The sidebar's entries of what sessions are made from: one for each page of `resource-routes.ts`. */
export const resourceNavigation: readonly NavGroup[] = [
  {
    title: "Configure",
    items: [
      { to: "/agents", label: "Agents", icon: "agent" },
      { to: "/environments", label: "Environments", icon: "environment" },
      { to: "/vaults", label: "Vaults", icon: "vault" },
    ],
  },
  {
    title: "Give to sessions",
    items: [
      { to: "/files", label: "Files", icon: "file" },
      { to: "/memory", label: "Memory", icon: "memory" },
      { to: "/skills", label: "Skills", icon: "skill" },
    ],
  },
  {
    title: "Server",
    items: [
      { to: "/harnesses", label: "Harnesses", icon: "harness" },
      { to: "/egress", label: "Egress", icon: "egress" },
    ],
  },
];
