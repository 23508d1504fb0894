import { Link } from "@tanstack/react-router";
import { UntrustedLine } from "../../text/untrusted.tsx";

/** A session by its title; one without has its id. */
export function SessionLink({ id, title }: { id: string; title: string | null }) {
  return (
    <Link to="/sessions/$sessionId" params={{ sessionId: id }} className="table-link">
      {title ? <UntrustedLine text={title} /> : <span className="mono">{id}</span>}
    </Link>
  );
}
