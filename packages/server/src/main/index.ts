export { type Config, ConfigError, loadConfig } from "./config.ts";
export { checkEgressGateway, checkOpenFiles } from "./egress-check.ts";
export { findInstalledHarnesses } from "./harnesses.ts";
export { type RunningServer, serve, type ServeOptions } from "./serve.ts";
export { findPostgresBinaries } from "./postgres-binaries.ts";
