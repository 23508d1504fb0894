import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import type { EnvironmentRecipe } from "../../resources/environments/environment-recipe.ts";
import { buildScript } from "./build-script.ts";

const run = promisify(execFile);
const recipe = (packages: EnvironmentRecipe["packages"], setup: string | null = null): EnvironmentRecipe => ({
  id: "r",
  image: null,
  base: null,
  packages,
  setup,
});

/** Runs it where every package manager only says what it was called with. */
async function play(text: string): Promise<{ steps: string[]; calls: string[] }> {
  const pretend = ["apt-get", "cargo", "gem", "go", "npm", "python3"]
    .map((name) => `${name}() { echo "${name} $*"; }; export -f ${name}`)
    .join("\n");
  const script = `${pretend}\ncommand() { builtin command "$@"; }\n${text.replace("cd /workspace", "cd /")}`;
  const { stdout, stderr } = await run("/bin/bash", ["-c", script]);
  return { steps: stdout.trim().split("\n"), calls: stderr.trim().split("\n") };
}

test("managers run in their order, with what they are to install as words of their own, and the setup last", async () => {
  const hostile = "a'; touch /tmp/never; echo '$(touch /tmp/never)";
  const { steps, calls } = await play(
    buildScript(
      recipe(
        [
          { manager: "apt", specs: ["jq=1.6"] },
          { manager: "cargo", specs: ["ripgrep@14.1.0"] },
          { manager: "gem", specs: ["rake:13.0"] },
          { manager: "go", specs: ["a.test/b", "a.test/c@v1"] },
          { manager: "npm", specs: ["@scope/name@^1", hostile] },
          { manager: "pip", specs: ["six>=1"] },
        ],
        "echo set up; echo twice",
      ),
    ),
  );
  expect(steps).toEqual(["apt", "cargo", "gem", "go", "npm", "pip", "setup"]);
  expect(calls).toEqual([
    expect.stringMatching(/^apt-get .*update$/),
    expect.stringMatching(/^apt-get .*install -- jq=1.6$/),
    "cargo install --root /usr/local -- ripgrep@14.1.0",
    "gem install --no-document --bindir /usr/local/bin rake:13.0",
    "go install -- a.test/b@latest",
    "go install -- a.test/c@v1",
    expect.stringMatching(new RegExp(`^npm install --global .* -- @scope/name@\\^1 ${hostile.replaceAll(/[$()]/g, "\\$&")}$`)),
    expect.stringMatching(/^python3 -m pip install .* -- six>=1$/),
    "set up",
    "twice",
  ]);
});

test("it ends at the first that fails", async () => {
  const script = buildScript(recipe([], "echo before; false; echo after")).replace("cd /workspace", "cd /");
  const failure = await run("/bin/bash", ["-c", script]).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: 1, stdout: "setup\n", stderr: "before\n" });
});
