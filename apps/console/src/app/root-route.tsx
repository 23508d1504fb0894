import { createRootRoute, type ErrorComponentProps, Outlet } from "@tanstack/react-router";
import { EmptyState, ErrorState, LoadingState } from "../ui/states.tsx";
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

/** A page that failed, or a part of it that an update of the server has replaced: reloading helps with both. */
export function FailedPage({ error }: ErrorComponentProps) {
  return (
    <div className="page">
      <ErrorState error={error} onRetry={() => window.location.reload()} />
    </div>
  );
}

export function PendingPage() {
  return (
    <div className="page">
      <LoadingState />
    </div>
  );
}

export const rootRoute = createRootRoute({ component: Root, notFoundComponent: NotFound });
