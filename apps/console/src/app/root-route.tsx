import { createRootRoute, type ErrorComponentProps, Outlet, useParams } from "@tanstack/react-router";
import { isId } from "../api/api-path.ts";
import { EmptyState, ErrorState, LoadingState } from "../ui/states.tsx";
import { Shell } from "./shell.tsx";

/** Every parameter of every page is an id. Pages ask for what the address names, so they never see one that cannot be. */
function Root() {
  const params: Readonly<Record<string, string | undefined>> = useParams({ strict: false });
  const isPage = Object.values(params).every((id) => id !== undefined && isId(id));
  return <Shell>{isPage ? <Outlet /> : <NotFound />}</Shell>;
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
