/**
 * Where it is written, and what must hold. Sections are those of the project's contract, semantics and design references.
 * `divergence`: the row of DIVERGENCES.md that says how this server understands it.
 */
export type Requirements = Readonly<Record<string, readonly [source: string, text: string, divergence?: string]>>;
