import { openSocket } from "./http-connection.ts";
import { SAY } from "./bench-server.ts";

export interface DirectCalls {
  /** Milliseconds until the first text delta, for each call. */
  firstToken: number[];
  /** Milliseconds until the last byte. */
  whole: number[];
}

/** The same model request without us, on one kept connection: what everything else is compared with. */
export async function callDirectly(providerUrl: string, n: number): Promise<DirectCalls> {
  const socket = await openSocket(providerUrl);
  const body = JSON.stringify({
    model: "claude-bench",
    max_tokens: 1024,
    stream: true,
    messages: [{ role: "user", content: SAY }],
  });
  const request =
    `POST /v1/messages HTTP/1.1\r\nhost: bench\r\nx-api-key: scripted\r\nanthropic-version: 2023-06-01\r\n` +
    `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
  const calls: DirectCalls = { firstToken: [], whole: [] };
  try {
    for (let call = 0; call < n; call++) {
      const done = Promise.withResolvers<void>();
      const sentAt = performance.now();
      let text = "";
      let tokenAt: number | undefined;
      const onData = (chunk: Buffer): void => {
        text += chunk.toString("latin1");
        if (text.includes("content_block_delta")) tokenAt ??= performance.now();
        if (text.endsWith("0\r\n\r\n")) done.resolve();
      };
      socket.on("data", onData).once("close", done.reject);
      socket.write(request);
      await done.promise;
      socket.off("data", onData).off("close", done.reject);
      if (tokenAt === undefined) throw new Error(`the provider answered without a token: ${text}`);
      calls.firstToken.push(tokenAt - sentAt);
      calls.whole.push(performance.now() - sentAt);
    }
  } finally {
    socket.destroy();
  }
  return calls;
}
