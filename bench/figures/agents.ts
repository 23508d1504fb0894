import { type Figure, value } from "../figure.ts";
import { closedLoop } from "../load.ts";
import type { RunContext } from "../run-context.ts";

const CONNECTIONS = 16;
const FOR_MS = 4_000;
const WARM_UP_MS = 1_500;

/** Plain requests, from a client that costs a tenth of the server. */
export async function agents({ server: start }: RunContext): Promise<Figure[]> {
  const server = await start();
  const connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => server.connect()));
  const on = (client: number) => connections[client] as (typeof connections)[number];
  const get = (client: number) => on(client).json("GET", `/v1/agents/${server.agentId}`);
  const create = (client: number) => on(client).json("POST", "/v1/agents", { name: "one of many", model: "claude-bench" });
  try {
    await closedLoop(CONNECTIONS, WARM_UP_MS, get);
    const gets = await closedLoop(CONNECTIONS, FOR_MS, get);
    await closedLoop(CONNECTIONS, WARM_UP_MS, create);
    const creates = await closedLoop(CONNECTIONS, FOR_MS, create);
    return [
      value(`get agent, ${CONNECTIONS} connections`, gets.perSecond, "/s", gets.samples.length, { valueMin: 8_000 }),
      value(`create agent, ${CONNECTIONS} connections`, creates.perSecond, "/s", creates.samples.length, { valueMin: 3_000 }),
    ];
  } finally {
    for (const connection of connections) connection.close();
  }
}
