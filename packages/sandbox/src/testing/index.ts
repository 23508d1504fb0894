export { openSandboxConformance, type SandboxConformance } from "./conformance.ts";
export { hostPrograms, imageArchive, type ImageEntry } from "./image-archive.ts";
export { startTestRegistry, type TestRegistry } from "./test-registry.ts";
