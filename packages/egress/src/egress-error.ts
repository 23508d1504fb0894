/**
 * Why something does not go out, in words for the agent (`message`) and a fixed one for the audit row (`reason`). A denial is
 * a rule of ours (403); a failure is the other side or the way there (502, 504). Neither holds text of the other side.
 */
export class EgressError extends Error {
  override readonly name = "EgressError";
  readonly verdict: "denied" | "failed";
  readonly reason: string;
  /** What an HTTP client is told. */
  readonly status: number;

  constructor(verdict: "denied" | "failed", reason: string, message: string, status = verdict === "denied" ? 403 : 502) {
    super(message);
    this.verdict = verdict;
    this.reason = reason;
    this.status = status;
  }
}
