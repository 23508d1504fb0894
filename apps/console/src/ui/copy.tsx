import { useState } from "react";
import { IconButton } from "./button.tsx";
import { Icon } from "./icon.tsx";
import { useToast } from "./toast.tsx";

const SHOWN_MS = 1_500;

function useCopy(text: string): { copied: boolean; copy(): void } {
  const [copied, setCopied] = useState(false);
  const toast = useToast();
  const copy = () => {
    const done = () => {
      setCopied(true);
      setTimeout(() => setCopied(false), SHOWN_MS);
    };
    navigator.clipboard.writeText(text).then(done, () => toast("The browser did not allow copying.", "bad"));
  };
  return { copied, copy };
}

/** An id as a button that copies it. */
export function CopyId({ id, label = "id" }: { id: string; label?: string }) {
  const { copied, copy } = useCopy(id);
  return (
    <button type="button" className="copy-id" onClick={copy} aria-label={`Copy ${label} ${id}`} title="Copy">
      <span className="truncate">{id}</span>
      <Icon name={copied ? "check" : "copy"} size={12} />
    </button>
  );
}

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const { copied, copy } = useCopy(text);
  return <IconButton icon={copied ? "check" : "copy"} label={copied ? "Copied" : label} size="small" onClick={copy} />;
}
