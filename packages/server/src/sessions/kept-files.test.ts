import { expect, test } from "vitest";
import type { SessionVolume } from "../store/session-volumes.ts";
import type { Queryable } from "../store/query.ts";
import { expectKeptFiles, withFilesKept } from "./kept-files.ts";

const CLEAN: SessionVolume = {
  sessionId: "sesn_1",
  checkpointId: "vckpt_1",
  homeId: "home_1",
  volumeId: "vol_1",
  nodeId: 1,
  uses: 3,
  fence: 0,
  dirty: false,
  keptUses: 3,
  startedAt: new Date(),
  isExpired: false,
  notice: null,
};

/** How often the files were captured until they were good enough, `captured` being what they are after each. */
async function capturesUntilKept(found: SessionVolume, captured: SessionVolume): Promise<number> {
  let row = found;
  let captures = 0;
  const db = { query: async () => ({ rows: [row], rowCount: 1 }) } as unknown as Queryable;
  const capture = async (): Promise<void> => {
    captures++;
    row = captured;
  };
  await withFilesKept(capture, "sesn_1", (isCaptured) => expectKeptFiles(db, "sesn_1", isCaptured));
  return captures;
}

test("files that nothing writes to are good as they are kept", async () => {
  expect(await capturesUntilKept(CLEAN, CLEAN)).toBe(0);
});

test("what programs in the background may have written is captured, once: they may write on", async () => {
  const live = { ...CLEAN, dirty: true };
  expect(await capturesUntilKept(live, live)).toBe(1);
});

test("a turn that came in between is followed, but not for ever", async () => {
  const used = { ...CLEAN, dirty: true, uses: 4 };
  expect(await capturesUntilKept(used, { ...used, keptUses: 4 })).toBe(1);
  await expect(capturesUntilKept(used, used)).rejects.toMatchObject({ status: 409 });
});
