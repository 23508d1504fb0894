import type { Equipment, LayerDraft, Layers, OpenEgress, Sandbox, SandboxCapabilities, SandboxLimits, Volume } from "../port.ts";

/** What a case may use; sandboxes and volumes are removed after it. */
export interface ConformanceContext {
  capabilities: SandboxCapabilities;
  createVolume(): Promise<Volume>;
  /** Without `openEgress` it has no way out. */
  createSandbox(options?: {
    volume?: Volume;
    limits?: Partial<SandboxLimits>;
    env?: Record<string, string>;
    openEgress?: OpenEgress;
    equipment?: Equipment;
  }): Promise<Sandbox>;
  /** For cases that need layers. */
  readonly layers: Layers;
  draftLayer(name: string, limits?: Partial<SandboxLimits>, image?: string | null): Promise<LayerDraft>;
}

export interface ConformanceCase {
  name: string;
  /** Cases that only some drivers can pass. */
  needs?: "isolation" | "layers" | keyof SandboxLimits;
  /** Rejects when the driver does not conform. */
  run(context: ConformanceContext): Promise<void>;
}
