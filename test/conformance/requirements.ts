import { ENGINE } from "./requirements/engine.ts";
import { FILES } from "./requirements/files.ts";
import { HTTP } from "./requirements/http.ts";
import { MCP } from "./requirements/mcp.ts";
import { MEMORY } from "./requirements/memory.ts";
import { NETWORKING } from "./requirements/networking.ts";
import { REPOSITORIES } from "./requirements/repositories.ts";
import { RESOURCES } from "./requirements/resources.ts";
import { SESSION_RESOURCES } from "./requirements/session-resources.ts";
import { SESSIONS } from "./requirements/sessions.ts";
import { SKILLS } from "./requirements/skills.ts";
import { VAULTS } from "./requirements/vaults.ts";
import { VOLUMES } from "./requirements/volumes.ts";
import { WEB } from "./requirements/web.ts";

/**
 * What a wire-compatible server must do, one entry a behaviour: id → where it is written, and what it says. Tests cite
 * the ids with `verifies`; `coverage.test.ts` fails when one has no test, and the reporter counts how many hold.
 */
export const REQUIREMENTS = {
  ...HTTP,
  ...RESOURCES,
  ...SESSIONS,
  ...ENGINE,
  ...MCP,
  ...WEB,
  ...VAULTS,
  ...NETWORKING,
  ...MEMORY,
  ...SKILLS,
  ...FILES,
  ...SESSION_RESOURCES,
  ...REPOSITORIES,
  ...VOLUMES,
} as const;

export type RequirementId = keyof typeof REQUIREMENTS;
