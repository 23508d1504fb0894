import { Agent as HttpAgent, type AgentOptions, type ClientRequestArgs } from "node:http";
import { Agent as HttpsAgent, type RequestOptions } from "node:https";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";

/** Opens a TCP connection to an address it has checked. Rejects when there is none that may be dialled. */
export type Dial = (host: string, port: number) => Promise<Socket>;

export interface Agents {
  "http:": HttpAgent;
  "https:": HttpsAgent;
}

/** Node's own type of it has a socket also when there is none. */
type Done = (error: Error | null, socket: Duplex) => void;
const NO_SOCKET = undefined as unknown as Duplex;

const refuse: Dial = () => Promise.reject(new Error("this server has no guard to dial a provider of a vault with"));

/** Agents whose every connection goes through `dial`; the name is resolved there and nowhere else. */
export function createGuardedAgents(options: AgentOptions, dial: Dial = refuse): Agents {
  return { "http:": new GuardedHttpAgent(options, dial), "https:": new GuardedHttpsAgent(options, dial) };
}

async function dialTarget(dial: Dial, { host, port, defaultPort }: ClientRequestArgs): Promise<Socket> {
  return dial(host ?? "", Number(port ?? defaultPort));
}

class GuardedHttpAgent extends HttpAgent {
  readonly #dial: Dial;
  constructor(options: AgentOptions, dial: Dial) {
    super(options);
    this.#dial = dial;
  }
  override createConnection(target: ClientRequestArgs, done?: Done): undefined {
    dialTarget(this.#dial, target).then(
      (socket) => done?.(null, socket),
      (error: Error) => done?.(error, NO_SOCKET),
    );
  }
}

class GuardedHttpsAgent extends HttpsAgent {
  readonly #dial: Dial;
  constructor(options: AgentOptions, dial: Dial) {
    super(options);
    this.#dial = dial;
  }
  override createConnection(target: RequestOptions, done?: Done): undefined {
    const secure = (socket: Socket): Duplex | null | undefined => super.createConnection({ ...target, socket } as RequestOptions);
    dialTarget(this.#dial, target)
      .then(secure)
      .then(
        (socket) => done?.(null, socket ?? NO_SOCKET),
        (error: Error) => done?.(error, NO_SOCKET),
      );
  }
}
