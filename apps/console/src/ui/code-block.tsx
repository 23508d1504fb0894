import { useMemo } from "react";
import { Untrusted } from "../text/untrusted.tsx";
import { plainLine, type TextLimits } from "../text/untrusted-text.ts";
import { CopyButton } from "./copy.tsx";

/** Code or output in a fixed-width font, as untrusted as any other text, with a button that copies all of it. */
export function CodeBlock({ text, label = "Code", fileName, limits }: CodeBlockProps) {
  return (
    <figure className="code-block" aria-label={plainLine(label)}>
      <Untrusted text={text} mono {...(fileName && { fileName })} {...(limits && { limits })} />
      <div className="code-block-tools">
        <CopyButton text={text} label={`Copy ${label.toLowerCase()}`} />
      </div>
    </figure>
  );
}

interface CodeBlockProps {
  text: string;
  label?: string;
  fileName?: string;
  limits?: TextLimits;
}

export function JsonBlock({ value, label = "JSON" }: { value: unknown; label?: string }) {
  const text = useMemo(() => JSON.stringify(value, null, 2) ?? "undefined", [value]);
  return <CodeBlock text={text} label={label} fileName="value.json" />;
}
