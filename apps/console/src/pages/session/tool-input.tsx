import { CodeBlock, JsonBlock } from "../../ui/code-block.tsx";

/** Tools whose input is best read as one text. */
const MAIN_ARGUMENT: Record<string, string> = {
  bash: "command",
  read: "file_path",
  glob: "pattern",
  grep: "pattern",
  write: "file_path",
  edit: "file_path",
  web_fetch: "url",
  web_search: "query",
};

/** What a call is about, in one line. */
export function summarizeInput(name: string, input: Record<string, unknown>): string {
  const main = input[MAIN_ARGUMENT[name] ?? ""];
  const value = typeof main === "string" ? main : Object.values(input).find((each) => typeof each === "string");
  return typeof value === "string" ? (value.split("\n", 1)[0] ?? "") : "";
}

/** The input of a call: a command as a command, the rest as JSON. */
export function ToolInput({ name, input }: { name: string; input: Record<string, unknown> }) {
  const { command } = input;
  if (name === "bash" && typeof command === "string" && Object.keys(input).length === 1) {
    return <CodeBlock text={command} label="Command" fileName="command.sh" />;
  }
  return <JsonBlock value={input} label="Input" />;
}
