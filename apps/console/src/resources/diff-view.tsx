import { Pieces } from "../text/untrusted.tsx";
import { plainLine, showText } from "../text/untrusted-text.ts";
import { formatCount } from "../ui/format.ts";
import { diffLines, foldUnchanged } from "./line-diff.ts";

const LINES_MAX = 2_000;
const LINE_LIMITS = { charsMax: 4_000, linesMax: 1, lineCharsMax: 4_000 };
const SIGNS = { same: " ", added: "+", removed: "−" } as const;
const SPOKEN = { same: "", added: "added: ", removed: "removed: " } as const;

/** Two texts of anybody, line by line: removed, added, and a few lines around. */
export function DiffView({ label, before, after }: { label: string; before: string; after: string }) {
  const lines = diffLines(before, after);
  const shown = foldUnchanged(lines).slice(0, LINES_MAX);
  const left = lines.length - shown.reduce((sum, each) => sum + (each.kind === "gap" ? each.lines : 1), 0);
  if (before === after) return <p className="muted">No difference.</p>;
  // Lines have no identity but their place, and never move.
  let place = 0;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
    <figure className="diff" aria-label={plainLine(label)} tabIndex={0}>
      {shown.map((each) => {
        place += 1;
        return each.kind === "gap" ? (
          <div key={place} className="diff-gap">
            {formatCount(each.lines)} unchanged {each.lines === 1 ? "line" : "lines"}
          </div>
        ) : (
          <div key={place} className="diff-line" data-kind={each.kind}>
            <span className="diff-sign" aria-hidden="true">
              {SIGNS[each.kind]}
            </span>
            <span className="visually-hidden">{SPOKEN[each.kind]}</span>
            <span className="diff-text untrusted" dir="auto">
              <Pieces pieces={showText(each.text, LINE_LIMITS).pieces} />
            </span>
          </div>
        );
      })}
      {left > 0 ? <div className="diff-gap">{formatCount(left)} more lines</div> : null}
    </figure>
  );
}
