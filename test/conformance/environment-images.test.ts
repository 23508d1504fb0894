import Anthropic, { toFile } from "@anthropic-ai/sdk";
import { hostPrograms, imageArchive, type ImageEntry, startTestRegistry } from "@sandbox0/sandbox/testing";
import { call, say, until } from "@sandbox0/testkit";
import { afterAll, expect } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { type Event, message, only, textOf } from "./fixture/test-session.ts";
import { verifies } from "./fixture/verifies.ts";

const BUILD_TIMEOUT_MS = 110_000;
const PROGRAMS = ["sh", "cat", "id", "ls", "mkdir", "rm"];
const release = (name: string): ImageEntry => ({ name: "etc/os-release", content: `NAME=${name}\n` });

const registry = await startTestRegistry("team/image", { layers: [await hostPrograms(PROGRAMS), [release("pulled")]] });
afterAll(() => registry.close());
const server = conformanceServer({
  SANDBOX0_EGRESS_ALLOW_PRIVATE: "127.0.0.1",
  SANDBOX0_IMAGE_PLAIN_HTTP: `${registry.host},${registry.storeHost}`,
});

interface Build {
  state: string;
  step: string | null;
  error: string | null;
  log_tail: string;
}

async function upload(content: Buffer): Promise<string> {
  const file = await toFile(content, "image.tar", { type: "application/x-tar" });
  return (await server.client.files.upload({ file })).id;
}

async function createEnvironment(image: string, setup?: string): Promise<string> {
  const metadata = { "sandbox0.image": image, ...(setup === undefined ? {} : { "sandbox0.setup": setup }) };
  return (await server.client.beta.environments.create({ name: "image", metadata })).id;
}

async function untilBuilt(environmentId: string): Promise<Build> {
  let build: Build = { state: "", step: null, error: null, log_tail: "" };
  await until(
    async () => {
      build = await server.client.get(`/sandbox0/v1/environments/${environmentId}/build`);
      return build.state === "ready" || build.state === "failed";
    },
    { timeoutMs: BUILD_TIMEOUT_MS, describe: () => build },
  );
  return build;
}

/** Calls in a new session of the environment. @returns the session's log, and what each call gave */
async function runIn(
  environmentId: string,
  calls: readonly ReturnType<typeof call>[],
): Promise<{ events: Event[]; results: string[] }> {
  const session = await server.createSession({ agent: { make: { tools: [TOOLSET] } }, environment_id: environmentId });
  await session.send(message(server.play(...calls, say("Done."))));
  const events = await session.rest();
  return { events, results: only(events, "agent.tool_result").map(textOf) };
}
const bash = (command: string) => call("bash", { command });

verifies("environments.image", "an uploaded archive is the system of all its sessions, with what is set up over it", async () => {
  const file = await upload(
    await imageArchive({ layers: [await hostPrograms(PROGRAMS), [release("uploaded")]], compression: "gzip" }),
  );
  const [plain, over] = [
    await createEnvironment(file),
    await createEnvironment(file, "id -u > /etc/set-up; echo more >> /etc/os-release"),
  ];
  expect(await untilBuilt(plain)).toMatchObject({ state: "ready", log_tail: expect.stringContaining("unpacking layer 2 of 2") });
  expect(await untilBuilt(over)).toMatchObject({ state: "ready" });
  const calls = [
    bash(
      "cat /etc/os-release; cat /etc/set-up; ls /usr/bin | while read -r name; do [[ $name == python3 ]] && echo host; done; id -u",
    ),
    call("write", { file_path: "/workspace/a.txt", content: "by the tool server\n" }),
    call("edit", { file_path: "/workspace/a.txt", old_string: "by", new_string: "edited by" }),
    bash("cat a.txt"),
  ];
  const [first, second] = [await runIn(plain, calls), await runIn(over, calls)];
  expect(first.results[0]).toMatch(/^NAME=uploaded\ncat: \/etc\/set-up: No such file or directory\n1000$/);
  expect(second.results[0]).toBe("NAME=uploaded\nmore\n0\n1000");
  for (const { results } of [first, second]) expect(results.at(-1)).toBe("edited by the tool server");
});

verifies("environments.image", "a registry's is pulled, and the session has it", async () => {
  const id = await createEnvironment(`${registry.host}/team/image@${registry.digest}`);
  expect(await untilBuilt(id)).toMatchObject({ state: "ready", log_tail: expect.stringContaining("pulling") });
  expect((await runIn(id, [bash("cat /etc/os-release")])).results).toEqual(["NAME=pulled"]);
});

verifies("environments.image", "one that cannot be used is said with why, and the session goes on without", async () => {
  const traversal = await upload(await imageArchive({ layers: [[{ name: "../../etc/passwd", content: "x" }]] }));
  const id = await createEnvironment(traversal, "echo never");
  expect(await untilBuilt(id)).toMatchObject({
    state: "failed",
    step: "image",
    error: expect.stringContaining("leads out of it"),
  });
  const { events, results } = await runIn(id, [bash("echo works")]);
  expect(results).toEqual(["works"]);
  expect(only(events, "session.error").map(({ error }) => error)).toEqual([
    {
      type: "unknown_error",
      message: expect.stringMatching(/The image[\s\S]*leads out of it/),
      retry_status: { type: "retrying" },
    },
  ]);
});

verifies("environments.image", "what names none is refused when it is given", async () => {
  for (const image of ["no image", "file_01nothing", "https://registry.example/image"]) {
    const refused = createEnvironment(image).catch((error: unknown) => error);
    expect(await refused).toBeInstanceOf(Anthropic.BadRequestError);
  }
});
