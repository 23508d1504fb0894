import fc from "fast-check";
import { expect, test } from "vitest";
import { createBudget } from "../budget.ts";
import { createHeldBytes, type HeldBytes } from "./held-bytes.ts";
import { createAnswerMeter, createStreamMeter, type Meter } from "./meter.ts";
import type { Api } from "./operation.ts";

const MIB = 1024 * 1024;
const heldUpTo = (bytesMax: number): HeldBytes => createHeldBytes(bytesMax, createBudget(MIB, MIB).open("sbx_1"));
const start = (api: Api, hidesUsage = false, meteredBytesMax = MIB): { meter: Meter; firsts: () => number } => {
  let firsts = 0;
  const onFirstToken = (): void => {
    firsts += 1;
  };
  return { meter: createStreamMeter({ api, held: heldUpTo(meteredBytesMax), hidesUsage, onFirstToken }), firsts: () => firsts };
};
/** What comes out when the stream goes in cut at these places. */
function run(meter: Meter, stream: string, cuts: readonly number[]): string {
  const bytes = Buffer.from(stream);
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  const out = places.slice(1).map((end, index) => meter.push(bytes.subarray(places[index], end)));
  return Buffer.concat([...out, meter.end()]).toString("utf8");
}

const CHUNKS = [
  'data: {"choices":[{"delta":{"role":"assistant","content":""}}],"usage":null}',
  'data: {"choices":[{"delta":{"content":"the \\"usage\\" of ✓"}}],"usage":null}',
  ": keep-alive",
  'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}',
];
const USAGE =
  'data: {"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":8}}}';

test.each(["\n", "\r\n"])("a stream is the same however it is cut, less the chunk of usage (line end %j)", (end) => {
  const write = (events: string[]): string => events.map((event) => event + end + end).join("");
  const stream = write([...CHUNKS, USAGE, "data: [DONE]"]);
  fc.assert(
    fc.property(fc.array(fc.nat(2_000), { maxLength: 12 }), (cuts) => {
      const hiding = start("openai-completions", true);
      expect(run(hiding.meter, stream, cuts)).toBe(write([...CHUNKS, "data: [DONE]"]));
      const showing = start("openai-completions");
      expect(run(showing.meter, stream, cuts)).toBe(stream);
      const counts = { inputTokens: 12, outputTokens: 3, cacheReadTokens: 8, cacheWriteTokens: 0 };
      expect([hiding.meter.usage(), showing.meter.usage()]).toEqual([counts, counts]);
      expect([hiding.firsts(), showing.firsts()]).toEqual([1, 1]);
    }),
  );
});

test("an event beyond the limit goes through unread, in pieces, and the next one is read", () => {
  const { meter } = start("openai-completions", true, 200);
  const long = `data: {"choices":[],"usage":{"prompt_tokens":1},"x":"${"x".repeat(500)}"}\n\n`;
  expect(run(meter, `${long}${USAGE}\n\n`, [7, 90, 300, 400])).toBe(long);
  expect(meter.usage().inputTokens).toBe(12);
});

test("rubbish goes through and counts nothing", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("data: ", "{", "}", '"usage"', ":", "-1", "null", "\n", "\n\n", "\r", "✓") }),
      (text) => {
        for (const api of ["anthropic-messages", "openai-responses", "openai-completions"] as const) {
          const { meter } = start(api, true);
          expect(run(meter, text, [3, 9])).toBe(text);
          expect(meter.usage().inputTokens).toBe(0);
        }
      },
    ),
  );
});

test("counts that are none are not counted", () => {
  const { meter } = start("anthropic-messages");
  const usage = { input_tokens: -5, output_tokens: 1.5, cache_read_input_tokens: "7", cache_creation_input_tokens: 1e300 };
  run(meter, `data: ${JSON.stringify({ type: "message_start", message: { usage } })}\n\n`, []);
  expect(meter.usage()).toEqual({ inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 });
});

test("Anthropic's last counts replace the first ones, and what it leaves out stays", () => {
  const { meter } = start("anthropic-messages");
  const first = { type: "message_start", message: { usage: { input_tokens: 10, cache_read_input_tokens: 4, output_tokens: 1 } } };
  const last = { type: "message_delta", usage: { output_tokens: 30, cache_creation_input_tokens: 2 } };
  run(meter, [first, last].map((event) => `event: x\ndata: ${JSON.stringify(event)}\n\n`).join(""), []);
  expect(meter.usage()).toEqual({ inputTokens: 10, outputTokens: 30, cacheReadTokens: 4, cacheWriteTokens: 2 });
});

test("an answer in one piece beyond the limit goes through uncounted", () => {
  const meter = createAnswerMeter("anthropic-messages", heldUpTo(10));
  const answer = JSON.stringify({ usage: { input_tokens: 1 } });
  expect(run(meter, answer, [3])).toBe(answer);
  expect(meter.usage().inputTokens).toBe(0);
});
