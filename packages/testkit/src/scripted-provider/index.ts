export { asOffered } from "./as-offered.ts";
export { demoScript } from "./demo-script.ts";
export { createGate, type Gate } from "./gate.ts";
export { lastResults, lastUserText, type ScriptedApi, type ScriptedMessage, type ScriptedRequest } from "./request.ts";
export { byMarker, inOrder, type Script } from "./script.ts";
export { createScriptedProvider, type ScriptedProvider, type ScriptedProviderOptions } from "./server.ts";
export {
  call,
  callRaw,
  cut,
  errorEvent,
  fail,
  hold,
  say,
  type Step,
  stopFor,
  think,
  thinkRedacted,
  usage,
  refuse,
  wait,
} from "./step.ts";
