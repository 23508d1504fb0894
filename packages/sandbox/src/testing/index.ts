export { openSandboxConformance, type SandboxConformance } from "./conformance.ts";
export { digestOf, hostPrograms, imageArchive, type ImageEntry, imageFiles, type TestImage } from "./image-archive.ts";
