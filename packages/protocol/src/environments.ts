import { z } from "zod";
import { describeAllowedHostProblem } from "./domains.ts";
import { environmentMetadataParamsSchema, environmentMetadataPatchSchema, metadataSchema } from "./metadata.ts";

/** Environments (contract §4). */
export const PACKAGE_MANAGERS = ["apt", "cargo", "gem", "go", "npm", "pip"] as const;
export type PackageManager = (typeof PACKAGE_MANAGERS)[number];
export const ALLOWED_HOSTS_MAX = 512;
export const PACKAGES_MAX = 512;
const PACKAGE_CHARS_MAX = 512;
const NAME_CHARS_MAX = 256;
const DESCRIPTION_CHARS_MAX = 2_048;

// A leading "-" would be read as an option by every package manager.
const packageSpec = z
  .string()
  .min(1)
  .max(PACKAGE_CHARS_MAX)
  .regex(/^[^-\s][^\s]*$/, 'must be one package, without spaces or a leading "-"');
const packageList = z.array(packageSpec).max(PACKAGES_MAX).nullish();
const packagesParams = z.object({
  type: z.literal("packages").nullish(),
  apt: packageList,
  cargo: packageList,
  gem: packageList,
  go: packageList,
  npm: packageList,
  pip: packageList,
});

const allowedHost = z.string().superRefine((host, context) => {
  const problem = describeAllowedHostProblem(host);
  if (problem !== null) context.addIssue({ code: "custom", message: problem });
});
const networkingParams = z.discriminatedUnion("type", [
  z.object({ type: z.literal("unrestricted") }),
  z.object({
    type: z.literal("limited"),
    allowed_hosts: z.array(allowedHost).max(ALLOWED_HOSTS_MAX).nullish(),
    allow_mcp_servers: z.boolean().nullish(),
    allow_package_managers: z.boolean().nullish(),
  }),
]);
const cloudConfigParams = z.object({
  type: z.literal("cloud"),
  networking: networkingParams.nullish(),
  packages: packagesParams.nullish(),
});
export type CloudConfigParams = z.infer<typeof cloudConfigParams>;
export const environmentConfigParamsSchema = z.discriminatedUnion("type", [
  cloudConfigParams,
  z.object({ type: z.literal("self_hosted") }),
]);
export type EnvironmentConfigParams = z.infer<typeof environmentConfigParamsSchema>;

const name = z.string().min(1).max(NAME_CHARS_MAX);
const description = z.string().max(DESCRIPTION_CHARS_MAX).nullish();
// "API organizations support only 'organization'; 'account' is rejected": a workspace here is no person's account.
const scope = z.literal("organization", { error: 'only "organization" is supported' }).nullish();

export const environmentCreateParamsSchema = z.object({
  name,
  config: environmentConfigParamsSchema.nullish(),
  description,
  metadata: environmentMetadataParamsSchema.nullish(),
  scope,
});
export type EnvironmentCreateParams = z.infer<typeof environmentCreateParamsSchema>;

export const environmentUpdateParamsSchema = z.object({
  name: name.nullish(),
  config: environmentConfigParamsSchema.nullish(),
  description,
  metadata: environmentMetadataPatchSchema.nullish(),
  scope,
});
export type EnvironmentUpdateParams = z.infer<typeof environmentUpdateParamsSchema>;

// --- responses -------------------------------------------------------------------------------------------------------

export const networkingSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("unrestricted") }),
  z.object({
    type: z.literal("limited"),
    allowed_hosts: z.array(z.string()),
    allow_mcp_servers: z.boolean(),
    allow_package_managers: z.boolean(),
  }),
]);
export type Networking = z.infer<typeof networkingSchema>;
const specs = z.array(z.string());
export const packagesSchema = z.object({
  type: z.literal("packages").optional(),
  apt: specs,
  cargo: specs,
  gem: specs,
  go: specs,
  npm: specs,
  pip: specs,
});
export type Packages = z.infer<typeof packagesSchema>;
const cloudConfigSchema = z.object({ type: z.literal("cloud"), networking: networkingSchema, packages: packagesSchema });
export type CloudConfig = z.infer<typeof cloudConfigSchema>;
export const environmentConfigSchema = z.discriminatedUnion("type", [
  cloudConfigSchema,
  z.object({ type: z.literal("self_hosted") }),
]);
export type EnvironmentConfig = z.infer<typeof environmentConfigSchema>;

export const environmentSchema = z.object({
  id: z.string(),
  type: z.literal("environment"),
  name: z.string(),
  description: z.string().nullable(),
  config: environmentConfigSchema,
  metadata: metadataSchema,
  scope: z.enum(["organization", "account"]).optional(),
  created_at: z.string(),
  updated_at: z.string(),
  archived_at: z.string().nullable(),
});
export type Environment = z.infer<typeof environmentSchema>;
