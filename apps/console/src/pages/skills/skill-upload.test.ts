import { expect, test } from "vitest";
import { describeSkillProblem, skillFiles, skillForm } from "./skill-upload.ts";

const at = (path: string) => ({ name: path.split("/").at(-1) ?? "", size: 1, webkitRelativePath: path });
const plain = (name: string) => ({ name, size: 1, webkitRelativePath: "" });

test("a folder with a SKILL.md at its top and one archive are skills", () => {
  expect(describeSkillProblem([at("maker/SKILL.md"), at("maker/lib/a.py")])).toBeNull();
  expect(describeSkillProblem([plain("maker.zip")])).toBeNull();
  expect(describeSkillProblem([plain("maker.SKILL")])).toBeNull();
});

test("what cannot be one says why", () => {
  expect(describeSkillProblem([])).toMatch(/Choose a zip/);
  expect(describeSkillProblem([at("maker/lib/SKILL.md")])).toMatch(/no SKILL.md/);
  expect(describeSkillProblem([at("a/SKILL.md"), at("b/x")])).toMatch(/one folder/);
  expect(describeSkillProblem([plain("SKILL.md")])).toMatch(/need their folder/);
});

test("what systems leave in folders is not sent", () => {
  const files = [at("maker/SKILL.md"), at("maker/.DS_Store"), at("maker/sub/Thumbs.db"), at("maker/desktop.ini.md")];
  expect(skillFiles(files).map(({ webkitRelativePath }) => webkitRelativePath)).toEqual([
    "maker/SKILL.md",
    "maker/desktop.ini.md",
  ]);
});

test("files are sent with their folder, and a name only when there is one", () => {
  const file = Object.assign(new File(["x"], "SKILL.md"), { webkitRelativePath: "maker/SKILL.md" });
  const form = skillForm([file], " ");
  expect([...form.keys()]).toEqual(["files[]"]);
  expect((form.get("files[]") as File).name).toBe("maker/SKILL.md");
  expect(skillForm([file], " Maker ").get("display_name")).toBe("Maker");
});
