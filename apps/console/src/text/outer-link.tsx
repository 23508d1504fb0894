import { safeHref } from "./untrusted-text.ts";
import { UntrustedLine } from "./untrusted.tsx";

interface OuterLinkProps {
  address: string;
  text: string;
}

/** A link to elsewhere that says where it leads, whatever its words say; plain text for what must not be one. */
export function OuterLink({ address, text }: OuterLinkProps) {
  const href = safeHref(address);
  if (href === null) return <UntrustedLine text={`${text} (${address})`} />;
  return (
    <span>
      <a href={href} target="_blank" rel="noopener noreferrer" title={href}>
        <UntrustedLine text={text} />
      </a>
      <LinkHost href={href} />
    </span>
  );
}

/** @param href a whole address, as `safeHref` gives it */
export function LinkHost({ href }: { href: string }) {
  const url = new URL(href);
  return <span className="small muted"> ({url.host || url.pathname})</span>;
}
