import { setTimeout as delay } from "node:timers/promises";
import type { Notifier } from "../../store/notify.ts";
import type { Database } from "../../store/pool.ts";
import { readHomeNodes, readSessionVolume } from "../../store/session-volumes.ts";
import { addVolumeRequest, removeVolumeRequest, takeVolumeAnswer } from "../../store/volume-requests.ts";

/** Hints, each of which may be lost: a data directory has a request, a request has an answer. */
export const REQUEST_CHANNEL = "sandbox0_volume_request";
export const ANSWER_CHANNEL = "sandbox0_volume_answer";
/** How often the rows are looked at: the price of a lost hint. */
const LOOK_MS = 500;
/** What the node with the files may take to store them, before the caller is told to come again; it goes on all the same. */
export const ANSWER_MS_MAX = 60_000;

/** The files cannot be had: the sentence says why. */
export class VolumeUnavailable extends Error {
  readonly code = "volume_unavailable";
  /** `gone`: no living server has them; `refused`: the one that has them said no; `late`: it does not answer. */
  readonly reason: "gone" | "refused" | "late";
  constructor(reason: VolumeUnavailable["reason"], message: string) {
    super(message);
    this.name = "VolumeUnavailable";
    this.reason = reason;
  }
}

export interface VolumeRequestsDeps {
  db: Database;
  notifier: Pick<Notifier, "publish" | "subscribe">;
}

/** What any process, also one without sandboxes, asks of the node that has a session's files. */
export interface VolumeRequests {
  /**
   * `movesTo` null: a checkpoint only. @param answerMsMax default {@link ANSWER_MS_MAX}
   * @throws VolumeUnavailable, DatabaseUnavailable, what the signal says
   */
  ask(
    request: { sessionId: string; homeId: string; movesTo: string | null },
    signal: AbortSignal,
    answerMsMax?: number,
  ): Promise<void>;
  /**
   * A checkpoint of the session's files as they are now, made if need be; `null`: it has none. Another one may take its place
   * at the next turn: whoever wants to keep it refers to it in a transaction that has locked the session's row
   * (`lockSessionVolume`), which names it and is not `dirty` then, or is so only for what programs in the background have
   * written since (`keptUses`).
   * @throws VolumeUnavailable: `refused` also while a turn uses the files
   */
  captureVolume(sessionId: string, signal?: AbortSignal): Promise<string | null>;
}

export function createVolumeRequests({ db, notifier }: VolumeRequestsDeps): VolumeRequests {
  const ask: VolumeRequests["ask"] = async (request, signal, answerMsMax = ANSWER_MS_MAX) => {
    const id = await addVolumeRequest(db, request);
    const until = Date.now() + answerMsMax;
    const bell = new Bell(notifier, String(id));
    try {
      notifier.publish(REQUEST_CHANNEL, request.homeId);
      for (;;) {
        const rung = bell.wait(LOOK_MS, signal);
        // It is not looked at once there is an answer.
        rung.catch(() => undefined);
        const answer = await takeVolumeAnswer(db, id);
        if (answer?.failure === null) return;
        if (answer !== null) throw new VolumeUnavailable("refused", answer.failure ?? "");
        if ((await readHomeNodes(db, request.homeId)).length === 0)
          throw new VolumeUnavailable("gone", "the server that has the session's files is gone");
        if (Date.now() > until) throw new VolumeUnavailable("late", "the server that has the session's files does not answer");
        await rung;
      }
    } finally {
      bell.close();
      await removeVolumeRequest(db, id);
    }
  };
  return {
    ask,
    async captureVolume(sessionId, signal = new AbortController().signal) {
      const before = await readSessionVolume(db, sessionId);
      if (before === null || before.isExpired) return null;
      if (before.homeId === null) return before.checkpointId;
      const isReachable = (await readHomeNodes(db, before.homeId)).length > 0;
      if (isReachable) await ask({ sessionId, homeId: before.homeId, movesTo: null }, signal);
      else if (before.dirty) throw new VolumeUnavailable("gone", "the server that has the newest files of the session is gone");
      return (await readSessionVolume(db, sessionId))?.checkpointId ?? null;
    },
  };
}

/** Rings when a request has its answer. */
class Bell {
  #ring: () => void = () => undefined;
  readonly close: () => void;

  constructor(notifier: Pick<Notifier, "subscribe">, id: string) {
    this.close = notifier.subscribe(ANSWER_CHANNEL, (payload) => {
      if (payload === id) this.#ring();
    });
  }

  /** Until it rings, or for so long. @throws what the signal says */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    const rung = Promise.withResolvers<void>();
    const timer = new AbortController();
    this.#ring = rung.resolve;
    const late = delay(ms, undefined, { signal: AbortSignal.any([timer.signal, signal]) });
    try {
      await Promise.race([rung.promise, late]);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      late.catch(() => undefined);
      timer.abort();
    }
    signal.throwIfAborted();
  }
}
