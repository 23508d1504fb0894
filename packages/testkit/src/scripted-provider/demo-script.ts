import { lastResults, type ScriptedRequest } from "./request.ts";
import type { Script } from "./script.ts";
import { asOffered } from "./as-offered.ts";
import { call, say, type Step } from "./step.ts";

const PROGRAM_PATH = "/workspace/primes.sh";
const PROGRAM = `#!/bin/bash
# Prints the primes below the first argument.
for ((n = 2; n < $1; n++)); do
  for ((d = 2; d * d <= n; d++)); do ((n % d == 0)) && continue 2; done
  echo "$n"
done
`;

/**
 * The model of `sandbox0 demo` when no provider key is set: writes a small program, runs it, reads it back and reports
 * what the tools really answered. Without those tools it says what it is.
 */
export const demoScript: Script = asOffered((request) => {
  const missing = ["write", "bash", "read"].filter((name) => !request.toolNames.includes(name));
  if (missing.length > 0)
    return say("I am the built-in scripted model: I play one fixed script and need the tools write, bash and read for it.");
  return demoStep(request, answersSinceUser(request));
});

function demoStep(request: ScriptedRequest, answered: number): Step {
  const output = lastResults(request)[0]?.text.trim() ?? "";
  switch (answered) {
    case 0:
      return [
        say("I will write a small program that prints prime numbers."),
        call("write", { file_path: PROGRAM_PATH, content: PROGRAM }),
      ];
    case 1:
      return [
        say("Now I run it."),
        call("bash", { command: `bash ${PROGRAM_PATH} 50 | tee primes.txt | tail -n 1 && uname -sm` }),
      ];
    case 2:
      return [say(`It printed:\n${output}\nI read the list it wrote.`), call("read", { file_path: "/workspace/primes.txt" })];
    default:
      return say(`Done. The primes below 50 are ${output.split(/\s+/).join(", ")}. The program is in ${PROGRAM_PATH}.`);
  }
}

function answersSinceUser(request: ScriptedRequest): number {
  const said = request.messages.findLastIndex((message) => message.role === "user" && message.text !== "");
  return request.messages.slice(said + 1).filter((message) => message.role === "assistant").length;
}
