import { createRootRoute, Outlet } from "@tanstack/react-router";
import { EmptyState } from "../ui/states.tsx";
import { Shell } from "./shell.tsx";

function Root() {
  return (
    <Shell>
      <Outlet />
    </Shell>
  );
}

function NotFound() {
  return (
    <div className="page">
      <EmptyState icon="search" title="There is no such page">
        <p>The address may be wrong, or from another version of the console.</p>
      </EmptyState>
    </div>
  );
}

export const rootRoute = createRootRoute({ component: Root, notFoundComponent: NotFound });
