/** The API key of this tab: in memory and in `sessionStorage`, so that a reload keeps it and closing the tab forgets it. */
const STORAGE_KEY = "sandbox0.api-key";

export interface KeyStore {
  /** `null`: signed out. */
  get(): string | null;
  set(key: string): void;
  clear(): void;
  subscribe(listener: () => void): () => void;
}

type KeyStorage = Pick<Storage, "getItem" | "setItem" | "removeItem">;

export function createKeyStore(storage: KeyStorage): KeyStore {
  let current = storage.getItem(STORAGE_KEY);
  const listeners = new Set<() => void>();
  const change = (key: string | null): void => {
    current = key;
    if (key === null) storage.removeItem(STORAGE_KEY);
    else storage.setItem(STORAGE_KEY, key);
    for (const listener of listeners) listener();
  };
  return {
    get: () => current,
    set: change,
    clear: () => change(null),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
