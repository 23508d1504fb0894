/** A file on its way to the server. */
export interface Upload {
  id: number;
  name: string;
  state: "waiting" | "sending" | "storing" | "failed";
  /** Of what is sent, from 0 to 1. */
  fraction: number;
  problem: string | null;
}
export interface Uploads {
  uploads: readonly Upload[];
  /** Of the next one that is added. */
  nextId: number;
}
export type UploadAction =
  | { type: "added"; names: readonly string[] }
  | { type: "progress"; id: number; fraction: number }
  | { type: "failed"; id: number; problem: string }
  | { type: "finished" | "dismissed"; id: number };

/** What is shown of uploads; one that is there is among the files, and no longer here. */
export function uploadsReducer({ uploads, nextId }: Uploads, action: UploadAction): Uploads {
  switch (action.type) {
    case "added": {
      const added = action.names.map(
        (name, index): Upload => ({ id: nextId + index, name, state: "waiting", fraction: 0, problem: null }),
      );
      return { uploads: [...uploads, ...added], nextId: nextId + added.length };
    }
    case "progress": {
      const { fraction } = action;
      return { uploads: patch(uploads, action.id, { fraction, state: fraction < 1 ? "sending" : "storing" }), nextId };
    }
    case "failed":
      return { uploads: patch(uploads, action.id, { state: "failed", problem: action.problem }), nextId };
    default:
      return { uploads: uploads.filter(({ id }) => id !== action.id), nextId };
  }
}

const patch = (uploads: readonly Upload[], id: number, change: Partial<Upload>): Upload[] =>
  uploads.map((each) => (each.id === id ? { ...each, ...change } : each));
