import { type Document, refuse } from "./documents.ts";
import { isMarked, type Metadata } from "./mark.ts";

/** A document with what it is known by. */
export interface Named {
  document: Document;
  name: string;
  /** The field that says the name. */
  field: string;
}

/** A resource of the server. */
export interface Stored {
  id: string;
  name: string;
  metadata: Metadata;
}

export interface MatchOptions {
  /** `agent`, for messages. */
  kind: string;
  /** Whether a resource that `apply` did not make may be taken over. */
  adopt: boolean;
}

/**
 * Finds the resource of each document by its name, among those that `apply` has made.
 * @returns the pairs, and the resources with the mark that no document names
 * @throws UserError for names that are not unique, or are taken by what somebody else made
 */
export function match<N extends Named, S extends Stored>(
  documents: readonly N[],
  stored: readonly S[],
  { kind, adopt }: MatchOptions,
): { pairs: { named: N; stored: S | undefined }[]; orphans: S[] } {
  const problems = findDuplicates(documents, kind);
  const pairs = documents.map((named) => {
    const sameName = stored.filter(({ name }) => name === named.name);
    const ours = sameName.filter(({ metadata }) => isMarked(metadata));
    const candidates = ours.length > 0 ? ours : sameName;
    const where = named.document.where(named.field);
    const ids = candidates.map(({ id }) => id).join(", ");
    if (candidates.length > 1) problems.push(`${where}: there are ${candidates.length} ${kind}s of this name: ${ids}`);
    else if (ours.length === 0 && candidates.length === 1 && !adopt)
      problems.push(`${where}: the ${kind} of this name was not made by apply: ${ids}; --adopt takes it over`);
    return { named, stored: candidates[0] };
  });
  if (problems.length > 0) refuse(problems);
  const named = new Set(documents.map(({ name }) => name));
  return { pairs, orphans: stored.filter(({ name, metadata }) => isMarked(metadata) && !named.has(name)) };
}

function findDuplicates(documents: readonly Named[], kind: string): string[] {
  const first = new Map<string, Named>();
  return documents.flatMap((named) => {
    const other = first.get(named.name);
    first.set(named.name, other ?? named);
    const where = named.document.where(named.field);
    return other === undefined ? [] : [`${where}: another ${kind} of this name is in ${other.document.where(other.field)}`];
  });
}
