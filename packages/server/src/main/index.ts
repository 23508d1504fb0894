export { type Config, ConfigError, loadConfig } from "./config.ts";
export { checkEgressGateway, checkOpenFiles } from "./egress-check.ts";
export { findInstalledHarnesses } from "./harnesses.ts";
export type { RunningServer, ServeOptions } from "./serve.ts";
export { loadServer, serve } from "./start.ts";
export { findPostgresBinaries } from "./postgres-binaries.ts";
