import type { SessionError } from "@sandbox0/protocol";
import type { ClaimedSandbox, Equipment, Volume } from "@sandbox0/sandbox";
import type { TurnSession } from "../store/sessions.ts";

/** A session that runs, as the parts of its provision see it. */
export interface ProvisionSession {
  sessionId: string;
  workspaceId: string;
  environmentId: string;
  /** As the session has it: skills, tools. */
  agent: TurnSession["agent"];
  /** Aborts when the turn must end now. */
  signal: AbortSignal;
  /** Writes one `session.error`; the session goes on. */
  report(error: SessionError): Promise<void>;
}

/**
 * One kind of thing that a session's sandbox is given: files, skills, memory. The orchestrator calls the hooks, part after
 * part in the order of the composition root. What a part cannot provide it reports, and the session goes on without; a
 * SandboxError `unavailable` says that the sandbox must not be used as it is, and fails the tool call with its sentence.
 */
export interface ProvisionPart {
  readonly name: string;
  /** Before the sandbox is claimed, once a turn: where the session's files are, and that a turn uses them now. */
  place?(session: ProvisionSession): Promise<void>;
  /** What the sandbox must be started with; `null`: nothing. Asked when one must be started, before that. */
  equip?(session: ProvisionSession): Promise<Equipment | null>;
  /**
   * On the host, in the volume, before anything of the session runs there in this turn. Idempotent, and cheap when nothing
   * has changed.
   */
  fill?(session: ProvisionSession, volume: Volume): Promise<void>;
  /** In the sandbox, behind every part's `fill`, once a turn. */
  ready?(session: ProvisionSession, claimed: ClaimedSandbox): Promise<void>;
  /** Behind each tool call that ran in the sandbox. Sentences for the model, put behind the call's result. */
  afterCall?(session: ProvisionSession, volume: Volume): Promise<string[]>;
  /** When a turn that used the sandbox ends, before `session.status_idle` is written. */
  beforeIdle?(session: ProvisionSession, volume: Volume): Promise<void>;
  /** When the session rests after a turn that used the sandbox; nobody waits for it. */
  atRest?(session: ProvisionSession, volume: Volume): Promise<void>;
  /** Paragraphs for the system prompt. Asked before each turn's first model request; when eager, again behind `ready`. */
  notes?(session: ProvisionSession): Promise<string[]>;
  /** Whether the sandbox must be there before the turn's first model request, not only at its first tool call. */
  isEager?(session: ProvisionSession): Promise<boolean>;
}
