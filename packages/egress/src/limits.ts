/** The bounds of one sandbox's way out. */
export interface EgressLimits {
  connectionsPerSandboxMax: number;
  /** Of all sandboxes together, on both sides of the gateway. At most half of the files that this process may open. */
  socketsMax: number;
  /** On both sides: a request may take a socket of its own. */
  socketsPerSandboxMax: number;
  /** Connections that are being told that they are too many, of all sandboxes and of one. The next is closed without a word. */
  refusalsMax: number;
  refusalsPerSandboxMax: number;
  /** Requests of one connection that may wait for their answers: one more ends it. apt, which sends most at once, sends 10. */
  pipelinedRequestsMax: number;
  /** From the first byte of a connection or tunnel to a whole request, SOCKS handshake or ClientHello. */
  handshakeMs: number;
  /** Without a byte in either direction. */
  idleMs: number;
  requestHeaderBytesMax: number;
  clientHelloBytesMax: number;
  /** How often what is open is held against the policy of now. With the source's own cache: within 5 s (issue 3). */
  policyRecheckMs: number;
}

export const EGRESS_LIMITS: EgressLimits = {
  connectionsPerSandboxMax: 128,
  socketsMax: 8_192,
  socketsPerSandboxMax: 384,
  refusalsMax: 256,
  refusalsPerSandboxMax: 32,
  pipelinedRequestsMax: 16,
  handshakeMs: 30_000,
  idleMs: 10 * 60_000,
  requestHeaderBytesMax: 64 * 1024,
  clientHelloBytesMax: 64 * 1024,
  policyRecheckMs: 1_000,
};
