/**
 * A server process that has loaded all its code and does nothing before it is told to: then a restart after a kill costs
 * what the server does at its start, and not what Node does. Dies with its parent, as `sandbox0 serve` does.
 */
import { once } from "node:events";
import { flushCompileCache } from "node:module";
import { createSandpi } from "@sandbox0/harness";
import { loadConfig, loadServer, serve } from "@sandbox0/server/main";

process.once("disconnect", () => process.exit(1));
// What a server loads behind its start.
await Promise.all([createSandpi().warmUp(), loadServer()]);
// A process that is killed leaves nothing compiled behind otherwise.
flushCompileCache();
process.send?.("loaded");
await once(process, "message");
const server = await serve(loadConfig());
console.log(`sandbox0 listening on ${server.url}`);
