import type { EgressError } from "./egress-error.ts";
import { type DenialOf, mustBeOpened } from "./policy-rules.ts";
import type { SandboxPolicy } from "./port.ts";

/** A tunnel or request that is open. */
export interface Way {
  sandboxId: string;
  host: string;
  port: number;
  /**
   * `unread`: its bytes are passed on as they are, so it must end when they have to be read, for a credential or a repository.
   * `opened`: each of its requests is looked at, also for whether it is git with a repository. `plain`: without TLS.
   */
  kind: "unread" | "opened" | "plain";
  /** Ends it at once. Called at most once. */
  cut(denial: EgressError | null): void;
}

export interface OpenWays {
  /** Returns what to call when the way has ended by itself. */
  add(way: Way): () => void;
  close(): void;
}

/** Holds every open way against the policy of its sandbox each `recheckMs`, and cuts those that may not be any more. */
export const createOpenWays = (
  policyOf: (sandboxId: string) => Promise<SandboxPolicy | null>,
  denialOf: DenialOf,
  recheckMs: number,
): OpenWays => {
  const ways = new Set<Way>();
  let checking = false;
  const check = async (sandboxId: string, theirs: readonly Way[]): Promise<void> => {
    const policy = await policyOf(sandboxId);
    for (const way of theirs) {
      const denial = denialOf(policy, way.host, way.port, way.kind === "opened");
      const mustBeRead = way.kind === "unread" && policy !== null && mustBeOpened(policy, way.host);
      if ((denial || mustBeRead) && ways.delete(way)) way.cut(denial);
    }
  };
  const checkAll = async (): Promise<void> => {
    // A slow policy source is not asked twice at once.
    if (checking) return;
    checking = true;
    try {
      const bySandbox = Map.groupBy(ways, (way) => way.sandboxId);
      await Promise.all([...bySandbox].map(([sandboxId, theirs]) => check(sandboxId, theirs)));
    } finally {
      checking = false;
    }
  };
  const timer = setInterval(() => void checkAll(), recheckMs);
  timer.unref();
  return {
    add: (way) => {
      ways.add(way);
      return () => void ways.delete(way);
    },
    close: () => clearInterval(timer),
  };
};
