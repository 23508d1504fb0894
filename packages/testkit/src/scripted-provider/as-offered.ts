import type { ScriptedRequest } from "./request.ts";
import type { Script } from "./script.ts";
import { type Part, partsOf } from "./step.ts";

/**
 * The same script for a harness that offers our tools under names of its own (`Bash` or `mcp__some_server__bash` for `bash`):
 * what the script calls by our name is called by the name that the request has for it.
 */
export function asOffered(script: Script): Script {
  return async (request) => {
    const step = await script({ ...request, toolNames: [...request.toolNames, ...request.toolNames.map(ownName)] });
    return step === undefined ? undefined : partsOf(step).map((part) => rename(part, request));
  };
}

function rename(part: Part, { toolNames }: ScriptedRequest): Part {
  if (part.type !== "call" || toolNames.includes(part.name)) return part;
  const offered = toolNames.find((name) => ownName(name) === part.name);
  return offered === undefined ? part : { ...part, name: offered };
}

function ownName(offered: string): string {
  return offered.replace(/^mcp__.*?__/, "").toLowerCase();
}
