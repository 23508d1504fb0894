export { openSandboxConformance, type ConformanceCase, type ConformanceContext, type SandboxConformance } from "./conformance.ts";
