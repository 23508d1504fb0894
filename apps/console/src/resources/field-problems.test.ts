import { APIError } from "@anthropic-ai/sdk";
import { expect, test } from "vitest";
import { fieldProblems } from "./field-problems.ts";

const refused = (message: string, status = 400) =>
  APIError.generate(status, { type: "error", error: { type: "invalid_request_error", message } }, undefined, new Headers());

test("gives each problem of the server's sentence to the field it is about", () => {
  expect(fieldProblems(refused("name: Field required; tools[1].name: is taken; tools[2]: no"), ["name", "tools"])).toEqual({
    fields: { name: "Fill this in.", tools: "entry 2, name: is taken; entry 3: no" },
    rest: null,
  });
});

test("the longest path counts, and a field is not another one that begins like it", () => {
  const problem = refused("config.networking.allowed_hosts[0]: must be a bare hostname; names: no");
  expect(fieldProblems(problem, ["config", "config.networking.allowed_hosts", "name"])).toEqual({
    fields: { "config.networking.allowed_hosts": "entry 1: must be a bare hostname" },
    rest: "names: no",
  });
});

test("a semicolon within a rule does not cut it", () => {
  const rule = "cannot be changed; archive this credential and create another one";
  expect(fieldProblems(refused(`auth.secret_name: ${rule}`), ["auth.secret_name"]).fields).toEqual({ "auth.secret_name": rule });
});

test("what is about no field, and what is no refusal of the input, stays one sentence", () => {
  expect(fieldProblems(refused("The body is not JSON"), ["name"])).toEqual({ fields: {}, rest: "The body is not JSON" });
  expect(fieldProblems(refused("version: 1 is not the current version", 409), ["version"])).toEqual({
    fields: {},
    rest: "version: 1 is not the current version",
  });
  expect(fieldProblems(new Error("name: odd"), ["name"])).toEqual({ fields: {}, rest: "name: odd" });
  expect(fieldProblems(null, ["name"])).toEqual({ fields: {}, rest: null });
});
