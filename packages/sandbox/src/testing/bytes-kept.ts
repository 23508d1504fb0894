import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** What this process really keeps: the collector has been. How much it occupies also tells how busy the machine is. */
export function bytesKept(): number {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc")();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
