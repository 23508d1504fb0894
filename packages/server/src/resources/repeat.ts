/** Runs a job again and again, never twice at once. */
export function repeat(
  job: () => Promise<void>,
  intervalMs: number,
  onProblem: (error: unknown) => void,
): { stop(): Promise<void> } {
  let running: Promise<void> | null = null;
  const timer = setInterval(() => {
    running ??= job()
      .catch(onProblem)
      .finally(() => {
        running = null;
      });
  }, intervalMs);
  return {
    async stop() {
      clearInterval(timer);
      await running;
    },
  };
}
