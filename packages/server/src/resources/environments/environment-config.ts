import {
  type CloudConfig,
  type CloudConfigParams,
  type EnvironmentConfig,
  type EnvironmentConfigParams,
  type Networking,
  PACKAGE_MANAGERS,
  type Packages,
  invalidRequest,
} from "@sandbox0/protocol";

const NO_PACKAGES: Packages = { type: "packages", apt: [], cargo: [], gem: [], go: [], npm: [], pip: [] };
const DEFAULT_CONFIG: CloudConfig = { type: "cloud", networking: { type: "unrestricted" }, packages: NO_PACKAGES };

/** Without a config: cloud, unrestricted, no packages (semantics §3). */
export function newConfig(params: EnvironmentConfigParams | null | undefined): EnvironmentConfig {
  if (!params) return DEFAULT_CONFIG;
  return params.type === "self_hosted" ? params : mergeCloud(DEFAULT_CONFIG, params);
}

/**
 * What an update leaves out, or gives as `null`, is kept, at every level.
 * @throws ApiError `invalid_config_type_change`
 */
export function mergeConfig(stored: EnvironmentConfig, params: EnvironmentConfigParams | null | undefined): EnvironmentConfig {
  if (!params) return stored;
  if (params.type !== stored.type) {
    throw invalidRequest(`config.type: cannot change from "${stored.type}" to "${params.type}"`, {
      error_code: "invalid_config_type_change",
    });
  }
  return params.type === "cloud" && stored.type === "cloud" ? mergeCloud(stored, params) : stored;
}

function mergeCloud(stored: CloudConfig, params: CloudConfigParams): CloudConfig {
  const config: CloudConfig = {
    type: "cloud",
    networking: mergeNetworking(stored.networking, params.networking),
    packages: mergePackages(stored.packages, params.packages),
  };
  const { networking, packages } = config;
  const hasPackages = PACKAGE_MANAGERS.some((manager) => packages[manager].length > 0);
  if (networking.type === "limited" && hasPackages && !networking.allow_package_managers) {
    throw invalidRequest(
      'config.networking.allow_package_managers: must be true when packages are given and networking is "limited"',
    );
  }
  return config;
}

function mergeNetworking(stored: Networking, params: CloudConfigParams["networking"]): Networking {
  if (!params) return stored;
  if (params.type === "unrestricted") return params;
  const base =
    stored.type === "limited" ? stored : { allowed_hosts: [], allow_mcp_servers: false, allow_package_managers: false };
  return {
    type: "limited",
    allowed_hosts: params.allowed_hosts ?? base.allowed_hosts,
    allow_mcp_servers: params.allow_mcp_servers ?? base.allow_mcp_servers,
    allow_package_managers: params.allow_package_managers ?? base.allow_package_managers,
  };
}

function mergePackages(stored: Packages, params: CloudConfigParams["packages"]): Packages {
  const merged: Packages = { ...stored };
  for (const manager of PACKAGE_MANAGERS) merged[manager] = params?.[manager] ?? stored[manager];
  return merged;
}
