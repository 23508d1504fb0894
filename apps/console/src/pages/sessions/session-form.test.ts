import { APIError } from "@anthropic-ai/sdk";
import { sessionCreateParamsSchema } from "@sandbox0/protocol";
import { expect, test } from "vitest";
import { withFile } from "../../resources/file-row.ts";
import { emptyRepository, emptySessionForm, sessionCreateParams, type SessionForm, sessionProblems } from "./session-form.ts";

const file = (id: string, filename: string) =>
  ({ id, type: "file", filename, mime_type: "text/csv", size_bytes: 1, created_at: "2026-01-01T00:00:00Z" }) as const;
const SHA = "0123456789abcdef0123456789abcdef01234567";

const FULL: SessionForm = {
  agent: "agent_1",
  environment: "env_1",
  title: " Release ",
  message: " Write it. ",
  files: withFile(withFile([], file("file_1", "data.csv")), file("file_2", "data.csv")),
  repositories: [
    { ...emptyRepository(0), url: " https://github.com/octo/hello ", token: "ghp_1", path: "/workspace/hi" },
    { ...emptyRepository(1), url: "https://github.com/octo/tools", checkout: "branch", ref: " main " },
    { ...emptyRepository(2), url: "https://github.com/octo/old", checkout: "commit", ref: SHA },
  ],
  stores: [
    { storeId: "memstore_1", access: "read_only", instructions: "Look here first." },
    { storeId: "memstore_2", access: "read_write", instructions: " " },
  ],
  vaults: ["vlt_1"],
  metadata: [
    { id: 0, key: "team", value: "docs" },
    { id: 1, key: "", value: "" },
  ],
};

test("a full form is a request as the server takes it", () => {
  const params = sessionCreateParams(FULL);
  expect(params).toEqual({
    agent: "agent_1",
    environment_id: "env_1",
    title: "Release",
    metadata: { team: "docs" },
    vault_ids: ["vlt_1"],
    resources: [
      { type: "file", file_id: "file_1", mount_path: "data.csv" },
      { type: "file", file_id: "file_2" },
      {
        type: "github_repository",
        url: "https://github.com/octo/hello",
        authorization_token: "ghp_1",
        mount_path: "/workspace/hi",
      },
      { type: "github_repository", url: "https://github.com/octo/tools", checkout: { type: "branch", name: "main" } },
      { type: "github_repository", url: "https://github.com/octo/old", checkout: { type: "commit", sha: SHA } },
      { type: "memory_store", memory_store_id: "memstore_1", access: "read_only", instructions: "Look here first." },
      { type: "memory_store", memory_store_id: "memstore_2", access: "read_write" },
    ],
    initial_events: [{ type: "user.message", content: [{ type: "text", text: "Write it." }] }],
  });
  expect(sessionCreateParamsSchema.parse(params)).toEqual(params);
});

test("what is left empty is left out", () => {
  expect(sessionCreateParams(emptySessionForm("agent_1", "env_1"))).toEqual({ agent: "agent_1", environment_id: "env_1" });
});

test("a file is chosen once", () => {
  expect(withFile(FULL.files, file("file_1", "data.csv"))).toBe(FULL.files);
});

const refused = (message: string) =>
  APIError.generate(400, { type: "error", error: { type: "invalid_request_error", message } }, undefined, new Headers());

test("a refusal is said at the row and field it is about, in whatever list that is", () => {
  const error = refused(
    "title: too long; resources[1].mount_path: must not contain `..`; resources[2].url: Field required; " +
      "resources[4].checkout.sha: must be a full commit hash; resources[6]: no; mount_path: two resources cannot both be at /x",
  );
  expect(sessionProblems(error, FULL)).toEqual({
    fields: { title: "too long" },
    rows: new Map([
      ["file 1", { mount_path: "must not contain `..`" }],
      ["repository 0", { url: "Fill this in." }],
      ["repository 2", { checkout: "must be a full commit hash" }],
      ["store memstore_2", { resource: "no" }],
    ]),
    rest: "mount_path: two resources cannot both be at /x",
  });
});

test("what is about all resources, or is no refusal, is not said at a row", () => {
  const all = sessionProblems(refused("resources: At most 8 memory stores"), FULL);
  expect(all).toEqual({ fields: { resources: "At most 8 memory stores" }, rows: new Map(), rest: null });
  expect(sessionProblems(null, FULL)).toEqual({ fields: {}, rows: new Map(), rest: null });
});
