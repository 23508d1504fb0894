import { expect, test } from "vitest";
import { changedSearch, egressSearch } from "./egress-search.ts";

test("an address that says nonsense filters nothing", () => {
  expect(egressSearch({ verdict: "maybe", host: 3, session: "" })).toEqual({});
  expect(egressSearch({ verdict: "denied", host: "a.example", session: "sesn_1", other: "x" })).toEqual({
    verdict: "denied",
    host: "a.example",
    session: "sesn_1",
  });
});

test("a filter that is emptied is gone from the address", () => {
  expect(changedSearch({ verdict: "denied", host: "a.example" }, { verdict: "" })).toEqual({ host: "a.example" });
});
