import { API_KEY } from "../bench-server.ts";
import { startBareHttpServer } from "../bare-http.ts";
import { type Figure, rate, value } from "../figure.ts";
import { HttpConnection } from "../http-connection.ts";
import { closedLoop, type Load } from "../load.ts";
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
    const bare = await bareRequests();
    return [
      value(`bare Node HTTP server, ${CONNECTIONS} connections`, bare.perSecond, "/s", bare.samples.length, {}),
      rate(`get agent, ${CONNECTIONS} connections`, gets.perSecond, gets.samples.length, { valueMin: 8_000 }, named(bare)),
      rate(
        `create agent, ${CONNECTIONS} connections`,
        creates.perSecond,
        creates.samples.length,
        { valueMin: 3_000 },
        named(bare),
      ),
    ];
  } finally {
    for (const connection of connections) connection.close();
  }
}

const named = ({ perSecond }: Load) => ({ name: "bare Node", perSecond });

/** The same client against a server that does nothing: what this machine can do at most. */
async function bareRequests(): Promise<Load> {
  const server = await startBareHttpServer();
  const connections = await Promise.all(Array.from({ length: CONNECTIONS }, () => HttpConnection.open(server.url, API_KEY)));
  const get = (client: number) => (connections[client] as HttpConnection).json("GET", "/");
  try {
    await closedLoop(CONNECTIONS, WARM_UP_MS, get);
    return await closedLoop(CONNECTIONS, FOR_MS, get);
  } finally {
    for (const connection of connections) connection.close();
    await server.stop();
  }
}
