import type { EventFilterType } from "@sandbox0/protocol";
import { useCallback, useEffect, useMemo, useSyncExternalStore } from "react";
import { useClient } from "../api/client.ts";
import { createApiSource } from "./api-source.ts";
import { createSessionLog, type LogState, type SessionLog } from "./session-log.ts";

/** A hidden page gives its connection back after this: browsers allow six to a server. */
const HIDDEN_MS_MAX = 15_000;

/** The log of a session while a page shows it; `types` reads only those. */
export function useSessionLog(sessionId: string, types?: readonly EventFilterType[]): SessionLog {
  const client = useClient();
  const filter = types?.join(",") ?? "";
  const log = useMemo(() => {
    const wanted = filter === "" ? undefined : (filter.split(",") as EventFilterType[]);
    return createSessionLog(createApiSource(client, sessionId), wanted && { types: wanted });
  }, [client, sessionId, filter]);
  useEffect(() => {
    let hidden: ReturnType<typeof setTimeout> | undefined;
    const onVisibility = () => {
      clearTimeout(hidden);
      if (document.hidden) hidden = setTimeout(() => log.stop(), HIDDEN_MS_MAX);
      else log.start();
    };
    onVisibility();
    log.start();
    document.addEventListener("visibilitychange", onVisibility);
    return () => {
      clearTimeout(hidden);
      document.removeEventListener("visibilitychange", onVisibility);
      log.stop();
    };
  }, [log]);
  return log;
}

/** At most once a frame: a message that is written comes in hundreds of pieces. */
export function useLogState(log: SessionLog): LogState {
  const subscribe = useCallback((listener: () => void) => subscribeByFrame(log, listener), [log]);
  return useSyncExternalStore(subscribe, log.get);
}

function subscribeByFrame(log: SessionLog, listener: () => void): () => void {
  let frame: number | null = null;
  const unsubscribe = log.subscribe(() => {
    frame ??= requestAnimationFrame(() => {
      frame = null;
      listener();
    });
  });
  return () => {
    unsubscribe();
    if (frame !== null) cancelAnimationFrame(frame);
  };
}
