const ID = /^[A-Za-z0-9_-]{1,128}$/;

/** Whether `text` can be an id at all. What an address of a page says may be anything, such as `../vaults/vlt_1`. */
export function isId(text: string): boolean {
  return ID.test(text);
}

/**
 * A path of the API, and the only way to put an id into one: what is no id could make it another path, and with it
 * another request under the same key.
 * @throws Error for what is no id
 * @example apiPath`/v1/sessions/${sessionId}/events`
 */
export function apiPath(parts: TemplateStringsArray, ...ids: string[]): string {
  for (const id of ids) if (!isId(id)) throw new Error("There is no such page: its address has an id that cannot be one.");
  return String.raw({ raw: parts }, ...ids);
}
