import { styleText } from "node:util";
import type { Output } from "./command.ts";

export type Style = Parameters<typeof styleText>[0];
/** Colours our own words for one stream; text of others must be made safe before. */
export type Paint = (style: Style, text: string) => string;

/** Colours when the stream is a terminal that has them; `NO_COLOR`, `FORCE_COLOR` and `TERM=dumb` mean what they always do. */
export function createPaint(stream: Output["stdout"]): Paint {
  return (style, text) => styleText(style, text, { stream: stream as NodeJS.WriteStream });
}
