export { openSandboxConformance, type SandboxConformance } from "./conformance.ts";
