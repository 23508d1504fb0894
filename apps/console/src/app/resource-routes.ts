import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
import { egressSearch } from "../pages/egress/egress-search.ts";
import { filesSearch } from "../pages/files/files-search.ts";
import { memorySearch } from "../pages/memory/memory-search.ts";
import { rootRoute } from "./root-route.tsx";

const parent = { getParentRoute: () => rootRoute };

const agentRoutes = [
  createRoute({
    ...parent,
    path: "/agents",
    component: lazyRouteComponent(() => import("../pages/agents/agents-page.tsx"), "AgentsPage"),
  }),
  createRoute({
    ...parent,
    path: "/agents/new",
    component: lazyRouteComponent(() => import("../pages/agents/agent-editor-page.tsx"), "NewAgentPage"),
  }),
  createRoute({
    ...parent,
    path: "/agents/$agentId",
    component: lazyRouteComponent(() => import("../pages/agents/agent-page.tsx"), "AgentPage"),
  }),
  createRoute({
    ...parent,
    path: "/agents/$agentId/edit",
    component: lazyRouteComponent(() => import("../pages/agents/agent-editor-page.tsx"), "EditAgentPage"),
  }),
] as const;

const environmentRoutes = [
  createRoute({
    ...parent,
    path: "/environments",
    component: lazyRouteComponent(() => import("../pages/environments/environments-page.tsx"), "EnvironmentsPage"),
  }),
  createRoute({
    ...parent,
    path: "/environments/new",
    component: lazyRouteComponent(() => import("../pages/environments/environment-editor-page.tsx"), "NewEnvironmentPage"),
  }),
  createRoute({
    ...parent,
    path: "/environments/$environmentId",
    component: lazyRouteComponent(() => import("../pages/environments/environment-page.tsx"), "EnvironmentPage"),
  }),
  createRoute({
    ...parent,
    path: "/environments/$environmentId/edit",
    component: lazyRouteComponent(() => import("../pages/environments/environment-editor-page.tsx"), "EditEnvironmentPage"),
  }),
] as const;

const vaultRoutes = [
  createRoute({
    ...parent,
    path: "/vaults",
    component: lazyRouteComponent(() => import("../pages/vaults/vaults-page.tsx"), "VaultsPage"),
  }),
  createRoute({
    ...parent,
    path: "/vaults/$vaultId",
    component: lazyRouteComponent(() => import("../pages/vaults/vault-page.tsx"), "VaultPage"),
  }),
] as const;

const dataRoutes = [
  createRoute({
    ...parent,
    path: "/files",
    validateSearch: filesSearch,
    component: lazyRouteComponent(() => import("../pages/files/files-page.tsx"), "FilesPage"),
  }),
  createRoute({
    ...parent,
    path: "/memory",
    component: lazyRouteComponent(() => import("../pages/memory/stores-page.tsx"), "MemoryStoresPage"),
  }),
  createRoute({
    ...parent,
    path: "/memory/$storeId",
    validateSearch: memorySearch,
    component: lazyRouteComponent(() => import("../pages/memory/store-page.tsx"), "MemoryStorePage"),
  }),
  createRoute({
    ...parent,
    path: "/skills",
    component: lazyRouteComponent(() => import("../pages/skills/skills-page.tsx"), "SkillsPage"),
  }),
  createRoute({
    ...parent,
    path: "/skills/$skillId",
    component: lazyRouteComponent(() => import("../pages/skills/skill-page.tsx"), "SkillPage"),
  }),
] as const;

const machineRoutes = [
  createRoute({
    ...parent,
    path: "/harnesses",
    component: lazyRouteComponent(() => import("../pages/harnesses/harnesses-page.tsx"), "HarnessesPage"),
  }),
  createRoute({
    ...parent,
    path: "/egress",
    validateSearch: egressSearch,
    component: lazyRouteComponent(() => import("../pages/egress/egress-page.tsx"), "EgressPage"),
  }),
] as const;

/** The pages of what sessions are made from: agents, environments, vaults and so on. Each is loaded when it is opened. */
export const resourceRoutes = [...agentRoutes, ...environmentRoutes, ...vaultRoutes, ...dataRoutes, ...machineRoutes] as const;
