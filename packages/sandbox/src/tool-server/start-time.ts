/** A process that is not ready by then will not be; its place in the line of starts is needed. */
const START_TIMEOUT_MS = 60_000;

/** @param start gives the signal to the process, and only for as long as it starts */
export async function withinStartTime<T>(start: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), START_TIMEOUT_MS);
  try {
    return await start(limit.signal);
  } finally {
    clearTimeout(timer);
  }
}
