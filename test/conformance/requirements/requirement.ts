/** Where it is written, and what must hold. Sections are those of the project's contract, semantics and design references. */
export type Requirements = Readonly<Record<string, readonly [source: string, text: string]>>;
