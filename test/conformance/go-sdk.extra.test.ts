import { call, say } from "@sandbox0/testkit";
import { expect, test } from "vitest";
import { startProgram } from "./fixture/child-program.ts";
import { API_KEY, conformanceServer, MODEL } from "./fixture/conformance-server.ts";
import { buildGoProgram } from "./fixture/go-program.ts";

const built = await buildGoProgram("test/conformance/go-client");
const missing = "missing" in built ? built.missing : null;
// The report does not name what it skips.
if (missing !== null) console.warn(`No Go, no test of its SDK: ${missing}`);
const server = conformanceServer();

test.skipIf(missing !== null)("the official SDK for Go: a session with a tool of the sandbox and one of the client", async () => {
  const marker = server.play(
    call("bash", { command: "echo from the sandbox" }),
    [say("I have to ask."), call("lookup", {})],
    say("Thank you."),
  );
  const environment = { ANTHROPIC_BASE_URL: server.url, ANTHROPIC_API_KEY: API_KEY };
  const binary = "binary" in built ? built.binary : "";
  const { code, output } = await startProgram(binary, [MODEL, marker], ".", environment).ended;
  expect([code, output.split("\n")]).toEqual([
    0,
    [
      "session: idle 1",
      "result: from the sandbox",
      "said: I have to ask.",
      "idle: requires_action",
      "said: Thank you.",
      "idle: end_turn",
      "more than one page: true",
      "refused: true",
      "",
    ],
  ]);
});
