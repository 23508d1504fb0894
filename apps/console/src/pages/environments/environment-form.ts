import type {
  Environment,
  EnvironmentConfigParams,
  EnvironmentCreateParams,
  EnvironmentUpdateParams,
  PackageManager,
} from "@sandbox0/protocol";
import { entriesOf } from "../../resources/lines.ts";
import { type MetadataRow, metadataOf, metadataPatch, metadataRows } from "../../resources/metadata.ts";

/** Shell commands that are run behind the packages (docs/resources.md). */
export const SETUP_KEY = "sandbox0.setup";
/** The system of the sandboxes, in place of the machine's own. */
export const IMAGE_KEY = "sandbox0.image";
/** In the order in which they are installed. */
export const MANAGERS: readonly PackageManager[] = ["apt", "cargo", "gem", "go", "npm", "pip"];

/** What the form of an environment has in its fields; lists have one entry a line. */
export interface EnvironmentForm {
  name: string;
  description: string;
  type: "cloud" | "self_hosted";
  network: "unrestricted" | "limited";
  hosts: string;
  allowMcpServers: boolean;
  allowPackageManagers: boolean;
  packages: Readonly<Record<PackageManager, string>>;
  setup: string;
  image: string;
  metadata: readonly MetadataRow[];
}

const NO_PACKAGES: EnvironmentForm["packages"] = { apt: "", cargo: "", gem: "", go: "", npm: "", pip: "" };

export function emptyEnvironmentForm(): EnvironmentForm {
  return {
    name: "",
    description: "",
    type: "cloud",
    network: "limited",
    hosts: "",
    allowMcpServers: false,
    allowPackageManagers: false,
    packages: NO_PACKAGES,
    setup: "",
    image: "",
    metadata: [],
  };
}

export function environmentForm({ name, description, config, metadata }: Environment): EnvironmentForm {
  const common = {
    ...emptyEnvironmentForm(),
    name,
    description: description ?? "",
    type: config.type,
    setup: metadata[SETUP_KEY] ?? "",
    image: metadata[IMAGE_KEY] ?? "",
    metadata: metadataRows(metadata, [SETUP_KEY, IMAGE_KEY]),
  };
  if (config.type !== "cloud") return common;
  const { networking, packages } = config;
  const lines = MANAGERS.map((manager) => [manager, packages[manager].join("\n")] as const);
  return {
    ...common,
    network: networking.type,
    packages: Object.fromEntries(lines) as EnvironmentForm["packages"],
    ...(networking.type === "limited" && {
      hosts: networking.allowed_hosts.join("\n"),
      allowMcpServers: networking.allow_mcp_servers,
      allowPackageManagers: networking.allow_package_managers,
    }),
  };
}

export function environmentCreateParams(form: EnvironmentForm): EnvironmentCreateParams {
  const metadata = allMetadata(form);
  return {
    name: form.name.trim(),
    ...(form.description.trim() !== "" && { description: form.description.trim() }),
    config: configOf(form),
    ...(Object.keys(metadata).length > 0 && { metadata }),
  };
}

/** An empty description clears it; lists replace what was there. */
export function environmentUpdateParams(form: EnvironmentForm, stored: Environment): EnvironmentUpdateParams {
  return {
    name: form.name.trim(),
    description: form.description.trim() || null,
    config: configOf(form),
    metadata: metadataPatch(stored.metadata, allMetadata(form)),
  };
}

const allMetadata = (form: EnvironmentForm): Record<string, string> =>
  metadataOf(form.metadata, form.type === "cloud" ? { [SETUP_KEY]: form.setup.trim(), [IMAGE_KEY]: form.image.trim() } : {});

function configOf(form: EnvironmentForm): EnvironmentConfigParams {
  if (form.type === "self_hosted") return { type: "self_hosted" };
  const packages = MANAGERS.map((manager) => [manager, entriesOf(form.packages[manager])] as const);
  return {
    type: "cloud",
    networking:
      form.network === "unrestricted"
        ? { type: "unrestricted" }
        : {
            type: "limited",
            allowed_hosts: entriesOf(form.hosts),
            allow_mcp_servers: form.allowMcpServers,
            allow_package_managers: form.allowPackageManagers,
          },
    packages: Object.fromEntries(packages),
  };
}
