export type * from "./port.ts";
export { SandboxError } from "./port.ts";
