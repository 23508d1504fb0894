import { createRoute, createRouter, lazyRouteComponent, type RouteComponent } from "@tanstack/react-router";
import { resourceRoutes } from "./resource-routes.ts";
import { FailedPage, PendingPage, rootRoute } from "./root-route.tsx";
import { sessionsSearch } from "../pages/sessions/sessions-search.ts";

const homeRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/",
  component: lazyRouteComponent(() => import("../pages/home/home-page.tsx"), "HomePage"),
});
const sessionsRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/sessions",
  validateSearch: sessionsSearch,
  component: lazyRouteComponent(() => import("../pages/sessions/sessions-page.tsx"), "SessionsPage"),
});
const newSessionRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/sessions/new",
  component: lazyRouteComponent(() => import("../pages/sessions/new-session-page.tsx"), "NewSessionPage"),
});
const sessionRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/sessions/$sessionId",
  component: lazyRouteComponent(() => import("../pages/session/session-page.tsx"), "SessionPage"),
});

const view = <const P extends string>(path: P, component: RouteComponent) =>
  createRoute({ getParentRoute: () => sessionRoute, path, component });

const sessionViews = [
  view(
    "/",
    lazyRouteComponent(() => import("../pages/session/conversation-view.tsx"), "ConversationView"),
  ),
  view(
    "/events",
    lazyRouteComponent(() => import("../pages/session/events-view.tsx"), "EventsView"),
  ),
  view(
    "/timeline",
    lazyRouteComponent(() => import("../pages/session/timeline-view.tsx"), "TimelineView"),
  ),
  view(
    "/files",
    lazyRouteComponent(() => import("../pages/session/files-view.tsx"), "FilesView"),
  ),
  view(
    "/usage",
    lazyRouteComponent(() => import("../pages/session/usage-view.tsx"), "UsageView"),
  ),
  view(
    "/snapshots",
    lazyRouteComponent(() => import("../pages/session/snapshots-view.tsx"), "SnapshotsView"),
  ),
];

const routeTree = rootRoute.addChildren([
  homeRoute,
  sessionsRoute,
  newSessionRoute,
  sessionRoute.addChildren(sessionViews),
  ...resourceRoutes,
]);

export function createConsoleRouter() {
  return createRouter({
    routeTree,
    basepath: "/console",
    defaultPreload: "intent",
    defaultErrorComponent: FailedPage,
    defaultPendingComponent: PendingPage,
    scrollRestoration: false,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createConsoleRouter>;
  }
}
