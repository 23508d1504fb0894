export type * from "./port.ts";
export { TurnStopped } from "./port.ts";
export { createSandpi, type Sandpi, type SandpiOptions } from "./sandpi/sandpi.ts";
