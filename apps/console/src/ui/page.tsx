import { Fragment, type ReactNode, useEffect } from "react";
import { UntrustedLine } from "../text/untrusted.tsx";
import { plainLine } from "../text/untrusted-text.ts";

interface PageProps {
  /** Also the tab's title and what is announced after navigation. */
  title: string;
  description?: ReactNode;
  crumbs?: ReactNode;
  actions?: ReactNode;
  width?: "normal" | "narrow";
  children: ReactNode;
}

/** The frame of every page that scrolls as a whole. */
export function Page({ title, description, crumbs, actions, width = "normal", children }: PageProps) {
  return (
    <div className="page">
      <div className={width === "narrow" ? "page-narrow" : "page-inner"}>
        <PageHeader title={title} description={description} crumbs={crumbs} actions={actions} />
        {children}
      </div>
    </div>
  );
}

export function PageHeader({
  title,
  description,
  crumbs,
  actions,
  badge,
}: Omit<PageProps, "children" | "width"> & { badge?: ReactNode }) {
  useEffect(() => {
    document.title = `${plainLine(title)} · Sandbox0`;
  }, [title]);
  return (
    <header className="page-header">
      <div className="page-header-text">
        {crumbs ? (
          <nav className="crumbs" aria-label="Breadcrumb">
            {crumbs}
          </nav>
        ) : null}
        <div className="row row-wrap">
          <h1>
            <UntrustedLine text={title} />
          </h1>
          {badge}
        </div>
        {description ? <div className="muted">{description}</div> : null}
      </div>
      {actions ? <div className="row row-wrap">{actions}</div> : null}
    </header>
  );
}

export function Section({ title, actions, children }: { title: string; actions?: ReactNode; children: ReactNode }) {
  return (
    <section className="section" aria-label={title}>
      <div className="section-header">
        <h2>{title}</h2>
        {actions}
      </div>
      {children}
    </section>
  );
}

/** Names and values; what is `null` is left out. */
export function Facts({ facts }: { facts: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="facts">
      {facts
        .filter(([, value]) => value !== null && value !== undefined)
        .map(([name, value]) => (
          <Fragment key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </Fragment>
        ))}
    </dl>
  );
}

export function Tiles({ tiles }: { tiles: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="tiles">
      {tiles.map(([name, value]) => (
        <div className="tile" key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
