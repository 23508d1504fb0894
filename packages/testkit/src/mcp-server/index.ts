export { type EverythingServer, startEverythingServer } from "./everything.ts";
export { type OAuthMcpServer, startOAuthMcpServer } from "./oauth-server.ts";
export { createModernMcpServer, type ModernMcpServer } from "./modern.ts";
export { createScriptedMcpServer, type ScriptedMcpServer, type ScriptedMcpServerOptions } from "./server.ts";
export { type CallContext, type Misbehaviour, type ScriptedTool, type SeenRequest, textResult } from "./script.ts";
