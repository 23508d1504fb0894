import type { ClaimedSandbox, Equipment, Volume } from "@sandbox0/sandbox";
import type { ProvisionPart, ProvisionSession } from "./port.ts";

/** All parts as one. */
export interface Provision {
  /** Before the claim. @throws SandboxError */
  place(session: ProvisionSession): Promise<void>;
  equip(session: ProvisionSession): Promise<Equipment | null>;
  /** Fills the volume, then gets the sandbox ready. @throws SandboxError */
  prepare(session: ProvisionSession, claimed: ClaimedSandbox): Promise<void>;
  afterCall(session: ProvisionSession, volume: Volume): Promise<string[]>;
  /** Of every part, whatever others throw: what one keeps of the turn must not be lost for it. Throws what the first one threw. */
  beforeIdle(session: ProvisionSession, volume: Volume): Promise<void>;
  /** As `beforeIdle`. */
  atRest(session: ProvisionSession, volume: Volume): Promise<void>;
  notes(session: ProvisionSession): Promise<string[]>;
  isEager(session: ProvisionSession): Promise<boolean>;
}

/**
 * @param parts in the order in which their hooks are called; all are asked at once for notes and whether they are eager, which
 * every turn waits for
 */
export function createProvision(parts: readonly ProvisionPart[]): Provision {
  return {
    async place(session) {
      for (const part of parts) await part.place?.(session);
    },
    async equip(session) {
      const all: Equipment[] = [];
      for (const part of parts) all.push(...[(await part.equip?.(session)) ?? null].filter((equipment) => equipment !== null));
      if (all.length === 0) return null;
      return { mounts: all.flatMap(({ mounts }) => mounts), layers: all.flatMap(({ layers }) => layers) };
    },
    async prepare(session, claimed) {
      for (const part of parts) await part.fill?.(session, claimed.volume);
      for (const part of parts) await part.ready?.(session, claimed);
    },
    async afterCall(session, volume) {
      const said: string[] = [];
      for (const part of parts) said.push(...((await part.afterCall?.(session, volume)) ?? []));
      return said;
    },
    async beforeIdle(session, volume) {
      await forEach(parts, async (part) => part.beforeIdle?.(session, volume));
    },
    async atRest(session, volume) {
      await forEach(parts, async (part) => part.atRest?.(session, volume));
    },
    async notes(session) {
      return (await Promise.all(parts.map(async (part) => (await part.notes?.(session)) ?? []))).flat();
    },
    async isEager(session) {
      return (await Promise.all(parts.map(async (part) => part.isEager?.(session)))).includes(true);
    },
  };
}

/** One after the other, and all of them. @throws what the first one threw that failed */
async function forEach(parts: readonly ProvisionPart[], hook: (part: ProvisionPart) => Promise<void>): Promise<void> {
  const errors: unknown[] = [];
  for (const part of parts) await hook(part).catch((error: unknown) => void errors.push(error));
  if (errors.length > 0) throw errors[0];
}
