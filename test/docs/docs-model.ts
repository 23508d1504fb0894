import {
  asOffered,
  call,
  demoScript,
  lastResults,
  lastUserText,
  say,
  type Script,
  type ScriptedRequest,
} from "@sandbox0/testkit";

/** What `RUN_MARK` stands before is run to the letter: a block of `sh in-sandbox`. */
export const RUN_MARK = "Run exactly:\n";
const COMMAND = /\bRun `([^`]+)`/;
const USE = /\bUse `([^`]+)` with `(\{[^`]*\})`/;

/** The model of the documents: the same words for the same message (docs/AUTHORING.md). */
export const docsModel: Script = (request) => (lastUserText(request).includes("primes") ? demoScript(request) : simple(request));

const simple: Script = asOffered((request) => {
  const text = lastUserText(request);
  const results = lastResults(request);
  const output = results.map((result) => result.text.trim()).join("\n");
  if (results.length > 0) return say(output === "" ? "Done." : output);
  return useOf(text, request) ?? say(`You said: ${text.split("\n")[0] ?? ""}`);
});

function useOf(text: string, request: ScriptedRequest) {
  const script = text.startsWith(RUN_MARK) ? text.slice(RUN_MARK.length) : COMMAND.exec(text)?.[1];
  const [, name, input] = script === undefined ? (USE.exec(text) ?? []) : ["", "bash", JSON.stringify({ command: script })];
  if (name === undefined || input === undefined) return undefined;
  if (!request.toolNames.includes(name)) return say(`I have no tool ${name}.`);
  return call(name, JSON.parse(input) as Record<string, unknown>);
}
