import { text } from "node:stream/consumers";
import { createScriptedProvider, say } from "@sandbox0/testkit";
import { expect, test } from "vitest";
import { openSandboxStage } from "./sandbox-stage.ts";

const ASK = `fetch(process.env.MODEL + "/v1/messages", {
  method: "POST",
  headers: { "x-api-key": process.env.KEY },
  body: JSON.stringify({ model: "m", messages: [{ role: "user", content: "hi" }] }),
}).then((response) => response.text()).then((body) => process.stdout.write(body));`;

test("gives each session a sandbox from which only its own provider is reached, and leaves nothing", async () => {
  const stage = await openSandboxStage([]);
  const providers = await Promise.all(["one", "two"].map((key) => createScriptedProvider({ apiKey: key })));
  try {
    for (const [index, provider] of providers.entries()) {
      provider.enqueue(say(`I am ${index}.`));
      const apiKey = index === 0 ? "one" : "two";
      const sandbox = await stage.open(`session_${index}`, { url: provider.url, apiKey });
      const { baseUrl } = sandbox.modelGateway;
      const env = { MODEL: baseUrl, KEY: apiKey, NODE_USE_ENV_PROXY: "0" };
      const child = await sandbox.exec(["node", "-e", ASK], { env });
      child.stdin.end();
      expect(await text(child.stdout)).toContain(`I am ${index}.`);
      await child.exited;
      await stage.forget(`session_${index}`);
      await sandbox.gone;
    }
  } finally {
    await stage.close();
    await Promise.all(providers.map((provider) => provider.close()));
  }
});
