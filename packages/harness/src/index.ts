export type * from "./port.ts";
export { TurnStopped } from "./port.ts";
