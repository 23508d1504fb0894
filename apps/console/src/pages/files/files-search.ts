/** The filter of the files, as the address has it. */
export interface FilesSearch {
  session?: string;
}

export function filesSearch(search: Record<string, unknown>): FilesSearch {
  return typeof search.session === "string" && search.session !== "" ? { session: search.session } : {};
}
