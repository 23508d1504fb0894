import { expect, test } from "vitest";
import { metadataOf, metadataPatch, metadataRows } from "./metadata.ts";

test("the pairs of a form come and go without those that have fields of their own", () => {
  const rows = metadataRows({ team: "docs", "sandbox0.harness": "claude" }, ["sandbox0.harness"]);
  expect(rows).toEqual([{ id: 0, key: "team", value: "docs" }]);
  const added = [...rows, { id: 1, key: " ", value: "said nothing" }, { id: 2, key: " since ", value: "" }];
  expect(metadataOf(added, { "sandbox0.harness": "codex", "sandbox0.setup": " " })).toEqual({
    team: "docs",
    since: "",
    "sandbox0.harness": "codex",
  });
});

test("a patch names what changed, and nothing else", () => {
  expect(metadataPatch({ kept: "a", changed: "b", gone: "c" }, { kept: "a", changed: "d", added: "e" })).toEqual({
    gone: null,
    changed: "d",
    added: "e",
  });
  expect(metadataPatch({ a: "1" }, { a: "1" })).toEqual({});
});
