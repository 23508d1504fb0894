import { type Environment, environmentCreateParamsSchema, environmentUpdateParamsSchema } from "@sandbox0/protocol";
import { expect, test } from "vitest";
import { emptyEnvironmentForm, environmentCreateParams, environmentForm, environmentUpdateParams } from "./environment-form.ts";

const ENVIRONMENT: Environment = {
  id: "env_1",
  type: "environment",
  name: "data",
  description: null,
  config: {
    type: "cloud",
    networking: { type: "limited", allowed_hosts: ["a.example"], allow_mcp_servers: true, allow_package_managers: false },
    packages: { apt: ["ffmpeg"], cargo: [], gem: [], go: [], npm: ["a", "b@2"], pip: [] },
  },
  metadata: { team: "x", "sandbox0.setup": "make" },
  created_at: "2026-01-01T00:00:00.000Z",
  updated_at: "2026-01-01T00:00:00.000Z",
  archived_at: null,
};
const NO_PACKAGES = { apt: [], cargo: [], gem: [], go: [], npm: [], pip: [] };

test("a new environment reaches nothing unless somebody says so; lists have an entry a line", () => {
  const form = { ...emptyEnvironmentForm(), name: " data " };
  const params = environmentCreateParams({ ...form, hosts: " api.example.com \n\n*.example.org\n", setup: " make\n" });
  expect(params).toEqual({
    name: "data",
    config: {
      type: "cloud",
      networking: {
        type: "limited",
        allowed_hosts: ["api.example.com", "*.example.org"],
        allow_mcp_servers: false,
        allow_package_managers: false,
      },
      packages: NO_PACKAGES,
    },
    metadata: { "sandbox0.setup": "make" },
  });
  expect(environmentCreateParamsSchema.safeParse(params).success).toBe(true);
});

test("one of workers of one's own has no network, packages or setup", () => {
  const form = { ...emptyEnvironmentForm(), name: "mine", type: "self_hosted" as const, hosts: "a.example", setup: "make" };
  expect(environmentCreateParams(form)).toEqual({ name: "mine", config: { type: "self_hosted" } });
});

test("an environment that is saved without a change stays as it is", () => {
  const params = environmentUpdateParams(environmentForm(ENVIRONMENT), ENVIRONMENT);
  expect(params).toEqual({ name: "data", description: null, config: ENVIRONMENT.config, metadata: {} });
  expect(environmentUpdateParamsSchema.safeParse(params).success).toBe(true);
});

test("what is taken out is sent as empty or null: left out, it would stay", () => {
  const form = {
    ...environmentForm(ENVIRONMENT),
    hosts: "",
    setup: "",
    packages: { ...environmentForm(ENVIRONMENT).packages, npm: "" },
  };
  expect(environmentUpdateParams(form, ENVIRONMENT)).toMatchObject({
    config: { networking: { allowed_hosts: [] }, packages: { npm: [], apt: ["ffmpeg"] } },
    metadata: { "sandbox0.setup": null },
  });
});
