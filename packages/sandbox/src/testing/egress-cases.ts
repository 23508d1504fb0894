import { strict as assert } from "node:assert";
import { once } from "node:events";
import { createServer } from "node:net";
import { EGRESS_PORT } from "../layout.ts";
import type { OpenEgress } from "../port.ts";
import type { ConformanceCase } from "./conformance-case.ts";
import { runCommand } from "./run-command.ts";
import { tellsQuiet } from "./tells-quiet.ts";

/** A gateway that says to each connection whose it is. */
function createGateway(): { open: OpenEgress; listening: Set<string> } {
  const listening = new Set<string>();
  const open: OpenEgress = async (sandboxId, socketPath) => {
    const server = createServer((socket) => socket.on("error", () => undefined).end(sandboxId));
    server.listen(socketPath);
    await once(server, "listening");
    listening.add(sandboxId);
    return {
      close: async () => {
        listening.delete(sandboxId);
        server.close();
        await once(server, "close");
      },
    };
  };
  return { open, listening };
}

const ASK = `exec 3<>/dev/tcp/127.0.0.1/${EGRESS_PORT} && cat <&3`;

export const egressCases: readonly ConformanceCase[] = [
  {
    name: "a way out is nothing that runs in the background",
    needs: "isolation",
    run: async ({ createSandbox }) => {
      const sandbox = await createSandbox({ openEgress: createGateway().open });
      assert.notEqual((await runCommand(sandbox, ASK)).stdout, "");
      await tellsQuiet(sandbox);
    },
  },
  {
    needs: "isolation",
    name: "egress: a command reaches the gateway as its own sandbox, through the proxy port that its environment names",
    run: async ({ createSandbox }) => {
      const { open, listening } = createGateway();
      const [a, b] = [await createSandbox({ openEgress: open }), await createSandbox({ openEgress: open })];
      assert.deepEqual([...listening], [a.id, b.id]);
      for (const sandbox of [a, b, a]) assert.equal((await runCommand(sandbox, ASK)).stdout, sandbox.id);
      const { stdout } = await runCommand(a, "echo $HTTPS_PROXY $https_proxy $ALL_PROXY");
      assert.equal(stdout.trim(), Array(3).fill(`http://127.0.0.1:${EGRESS_PORT}`).join(" "));
      await a.destroy();
      assert.deepEqual([...listening], [b.id]);
    },
  },
  {
    needs: "isolation",
    name: "egress: nothing leads out of a sandbox without a gateway, nor for a command without a network",
    run: async ({ createSandbox }) => {
      const { open } = createGateway();
      const closed = await runCommand(await createSandbox(), ASK);
      assert.deepEqual([closed.code, closed.stdout], [1, ""]);
      const without = await runCommand(await createSandbox({ openEgress: open }), ASK, { network: false });
      assert.deepEqual([without.code, without.stdout], [1, ""]);
    },
  },
];
