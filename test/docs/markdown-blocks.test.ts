import { expect, test } from "vitest";
import { matchesOutput } from "./expected-output.ts";
import { parseBlocks } from "./markdown-blocks.ts";
import { modulesOf } from "./modules.ts";

const parse = (markdown: string) => parseBlocks("page.md", markdown);

test("blocks have their language, words, attributes and text", () => {
  const markdown =
    'a\n```sh serve not-run="needs a systemd host"\nx\n```\n- b\n  ```ts file="a/b.ts"\n  y\n    z\n  ```\n<!-- ts prelude\nconst a = 1;\n-->\n````text\n```sh\n```\n````\n';
  expect(parse(markdown)).toMatchObject([
    { line: 2, language: "sh", words: ["serve"], notRun: "needs a systemd host", text: "x\n", hidden: false },
    { line: 6, language: "ts", file: "a/b.ts", text: "y\n  z\n" },
    { line: 10, language: "ts", words: ["prelude"], text: "const a = 1;\n", hidden: true },
    { line: 13, language: "text", text: "```sh\n```\n" },
  ]);
});

test.each([
  ["```bash\n```", 'page.md:1: the language "bash" is not known'],
  ["```\n```", 'page.md:1: the language "" is not known'],
  ["\n```sh quietly\n```", "page.md:2: sh quietly means nothing"],
  ['```sh notrun="a good reason"\n```', "page.md:1: notrun= means nothing"],
  ['```sh not-run="no"\n```', "page.md:1: not-run needs a reason"],
  ["```sh\n", "page.md:1: never ends"],
])("%j is refused", (markdown, problem) => {
  expect(() => parse(markdown)).toThrow(problem);
});

test("a module has the prelude, the blocks that continue it, and its imports at the top", () => {
  const blocks = parse(
    '<!-- ts prelude\nconst a = 1;\n-->\n```ts\nimport x from "y";\nconst a = x;\n```\n```ts continues\nuse(a);\n```\n```ts\nb();\n```\n',
  );
  const [first, second] = modulesOf(blocks);
  expect(first?.lines).toEqual([4, 8]);
  expect(first?.source).toMatch(/^import Anthropic[\s\S]*\nimport x from "y";\nconst a = 1;\n\{\nconst a = x;\nuse\(a\);\n\}/);
  expect(second?.source).toMatch(/const a = 1;\n\{\nb\(\);\n\}/);
  const [program] = modulesOf(
    parse('<!-- ts prelude\nconst a = 1;\n-->\n```ts\nimport Anthropic from "@anthropic-ai/sdk";\n```\n'),
  );
  expect(program?.source).toBe('import Anthropic from "@anthropic-ai/sdk";\n');
});

test.each([
  ["same", "same\n", true],
  ["same", "other\n", false],
  ["a (b) [c] $1.5", "a (b) [c] $1.5\n", true],
  ["sesn_01abc idle", "sesn_01zzzzzz idle\n", true],
  ["sesn_01abc idle", "agent_01zzzzzz idle\n", false],
  ["ready in … ms", "ready in 512 ms\n", true],
  ["first\n…\nlast", "first\n1\n2\nlast\n", true],
  ["first\n…\nlast", "first\nlast\n", true],
  ["first\nlast", "first\n1\nlast\n", false],
  ["17:07:27.954  x", "09:00:00.001  x\n", true],
  ["http://127.0.0.1:8787", "http://127.0.0.1:41231\n", true],
  ["2026-01-01T00:00:00.000Z", "2026-11-26T05:00:00.123Z\n", true],
  ["a", "a\nb\n", false],
  ["ID      NAME", "ID  NAME   \n", true],
  ["ID NAME", "IDNAME\n", false],
])("the output %j for %j", (expected, printed, same) => {
  expect(matchesOutput(expected, printed)).toBe(same);
});
