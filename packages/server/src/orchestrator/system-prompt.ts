import { type AgentTool, enabledBuiltins, SANDBOX_TOOLS } from "../domain/permissions.ts";

/**
 * What the agent must know of its sandbox, behind its own prompt. Nothing for an agent without sandbox tools.
 * @param notes paragraphs on what the session is given
 */
export function systemPrompt(own: string | null, tools: readonly AgentTool[], notes: readonly string[]): string | null {
  const enabled = enabledBuiltins(tools);
  if (!SANDBOX_TOOLS.some((name) => enabled.includes(name))) return own;
  const place = [
    "You have a private Linux sandbox. Your working directory is /workspace; it is kept between turns.",
    "Files that the user gave you are under /mnt/session/uploads (read-only).",
    "Write files that the user shall get to /mnt/session/outputs.",
  ].join("\n");
  return [...(own ? [own] : []), place, ...notes].join("\n\n");
}
