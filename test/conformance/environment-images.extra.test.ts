import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { call, say, until } from "@sandbox0/testkit";
import { expect, test } from "vitest";
import { conformanceServer, TOOLSET } from "./fixture/conformance-server.ts";
import { message, only, textOf } from "./fixture/test-session.ts";

/** An image with `/etc/os-release`, as `host[:port]/path:tag`, of a registry that this machine can reach. */
const IMAGE = process.env["SANDBOX0_TEST_IMAGE"] ?? "";
/** Where a network hands out registries at addresses that are not of the public Internet, an operator opens those. */
const addresses = await addressesOf(IMAGE);
const server = conformanceServer({ SANDBOX0_EGRESS_ALLOW_PRIVATE: addresses.join(",") });
const BUILD_TIMEOUT_MS = 20 * 60_000;

async function addressesOf(image: string): Promise<string[]> {
  const host = image.split("/")[0]?.replace(/:\d+$/, "") ?? "";
  if (host === "" || isIP(host) !== 0) return host === "" ? [] : [host];
  return (await lookup(host, { all: true }).catch(() => [])).map(({ address }) => address);
}

test.skipIf(IMAGE === "")(
  "a real image is pulled, and its programs run in a session",
  { timeout: BUILD_TIMEOUT_MS },
  async () => {
    const { id } = await server.client.beta.environments.create({ name: "real", metadata: { "sandbox0.image": IMAGE } });
    let build: { state: string } = { state: "" };
    await until(
      async () => {
        build = await server.client.get(`/sandbox0/v1/environments/${id}/build`);
        return build.state === "ready" || build.state === "failed";
      },
      { timeoutMs: BUILD_TIMEOUT_MS, describe: () => build },
    );
    expect(build).toMatchObject({ state: "ready" });
    const session = await server.createSession({ agent: { make: { tools: [TOOLSET] } }, environment_id: id });
    await session.send(
      message(server.play(call("bash", { command: "cat /etc/os-release && ls / && sh -c 'echo runs'" }), say("Done."))),
    );
    const printed = only(await session.rest(), "agent.tool_result")
      .map(textOf)
      .join();
    expect(printed).toMatch(/^(?:PRETTY_)?NAME=[\s\S]*runs$/m);
  },
);
