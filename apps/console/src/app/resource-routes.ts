import { createRoute, lazyRouteComponent } from "@tanstack/react-router";
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

/** The pages of what sessions are made from: agents, environments, vaults and so on. Each is loaded when it is opened. */
export const resourceRoutes = [...agentRoutes] as const;
