import { useMemo, useState } from "react";
import { Button } from "../ui/button.tsx";
import { saveAs } from "../ui/download.ts";
import { formatCount } from "../ui/format.ts";
import { type Piece, PREVIEW_LIMITS, showLine, showText, type TextLimits, WHOLE_LIMITS } from "./untrusted-text.ts";

/** Marks for invisible characters; React escapes the rest. */
export function Pieces({ pieces }: { pieces: readonly Piece[] }) {
  // Pieces have no identity but their place, and never move.
  let place = 0;
  return pieces.map((piece) => {
    place += 1;
    return typeof piece === "string" ? (
      piece
    ) : (
      <span key={place} className="mark" title={piece.title} role="img" aria-label={piece.title}>
        {piece.mark}
      </span>
    );
  });
}

interface UntrustedProps {
  text: string;
  /** As code, in a fixed-width font. */
  mono?: boolean;
  /** Of the file that "Download" saves. */
  fileName?: string;
  limits?: TextLimits;
}

/** Text of an agent, a tool or a user: shown as it is, never as markup, at first only as much as fits. */
export function Untrusted({ text, mono = false, fileName = "output.txt", limits = PREVIEW_LIMITS }: UntrustedProps) {
  const [whole, setWhole] = useState(false);
  const { pieces, hiddenChars } = useMemo(() => showText(text, whole ? WHOLE_LIMITS : limits), [text, whole, limits]);
  return (
    <>
      {mono ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        <pre className="untrusted" dir="auto" tabIndex={0}>
          <Pieces pieces={pieces} />
        </pre>
      ) : (
        <div className="untrusted" dir="auto">
          <Pieces pieces={pieces} />
        </div>
      )}
      {hiddenChars > 0 ? (
        <div className="row row-wrap small muted untrusted-more">
          <span>{formatCount(hiddenChars)} more characters</span>
          {whole ? null : (
            <Button size="small" onClick={() => setWhole(true)}>
              Show more
            </Button>
          )}
          <Button size="small" icon="download" onClick={() => saveAs(text, fileName)}>
            Download
          </Button>
        </div>
      ) : null}
    </>
  );
}

/** One line of it: a title, a name. */
export function UntrustedLine({ text }: { text: string }) {
  return (
    <bdi>
      <Pieces pieces={showLine(text)} />
    </bdi>
  );
}
