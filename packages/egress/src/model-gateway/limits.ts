const MIB = 1024 * 1024;

export interface ModelGatewayLimits {
  /** One request body. The Messages API itself takes 32 MB. */
  requestBytesMax: number;
  /** Bodies of every sandbox, and of one, from their first byte until the provider begins to answer. */
  bufferedBytesMax: number;
  bufferedBytesPerSandboxMax: number;
  /** A harness with ten sub-agents and their side requests stays below. */
  requestsPerSandboxMax: number;
  /** From the first byte of a body to its last. */
  bodyTimeoutMs: number;
  /** Name resolution, TCP and TLS. */
  connectTimeoutMs: number;
  /** One side waits for the other: a model that thinks, or one that hangs; a client that does not read. Clients give up earlier. */
  silenceMs: number;
  /** A server-sent event, or a JSON answer, beyond this goes through unmetered. The largest have an image in them. */
  meteredBytesMax: number;
  /** What is held of them, of every sandbox and of one: what does not fit goes through unmetered as well. */
  heldAnswersBytesMax: number;
  heldAnswersBytesPerSandboxMax: number;
}

export const MODEL_GATEWAY_LIMITS: ModelGatewayLimits = {
  requestBytesMax: 32 * MIB,
  bufferedBytesMax: 256 * MIB,
  bufferedBytesPerSandboxMax: 64 * MIB,
  requestsPerSandboxMax: 32,
  bodyTimeoutMs: 120_000,
  connectTimeoutMs: 10_000,
  silenceMs: 15 * 60_000,
  meteredBytesMax: 16 * MIB,
  heldAnswersBytesMax: 128 * MIB,
  heldAnswersBytesPerSandboxMax: 32 * MIB,
};
