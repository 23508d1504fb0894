import { type DragEvent, type ReactNode, useRef, useState } from "react";
import { Button } from "../ui/button.tsx";

interface FileDropProps {
  /** What the buttons and the area are for. */
  label: string;
  /** Also offers to choose a folder, whose files come with their paths. */
  folder?: boolean;
  accept?: string;
  multiple?: boolean;
  hint?: ReactNode;
  onFiles(files: readonly File[]): void;
}

/** Files by a button, or dropped here. */
export function FileDrop({ label, folder = false, accept, multiple = false, hint, onFiles }: FileDropProps) {
  const [over, setOver] = useState(false);
  const files = useRef<HTMLInputElement>(null);
  const directory = useRef<HTMLInputElement>(null);
  const give = (list: FileList | null) => {
    if (list !== null && list.length > 0) onFiles([...list]);
  };
  const drag = (inside: boolean) => (event: DragEvent) => {
    event.preventDefault();
    setOver(inside);
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    give(event.dataTransfer.files);
  };
  return (
    <section
      className="file-drop"
      aria-label={label}
      data-over={over}
      onDragOver={drag(true)}
      onDragLeave={drag(false)}
      onDrop={drop}
    >
      <div className="row row-wrap">
        <Button icon="file" onClick={() => files.current?.click()}>
          {multiple ? "Choose files" : "Choose file"}
        </Button>
        {folder ? <Button onClick={() => directory.current?.click()}>Choose folder</Button> : null}
        <span className="muted">or drop {multiple ? "them" : "it"} here</span>
      </div>
      {hint ? <p className="field-hint">{hint}</p> : null}
      <ChosenInput inputRef={files} label={label} onFiles={give} {...(accept && { accept })} multiple={multiple} />
      {folder ? <ChosenInput inputRef={directory} label={`${label}: folder`} onFiles={give} directory /> : null}
    </section>
  );
}

interface ChosenInputProps {
  inputRef: { current: HTMLInputElement | null };
  label: string;
  accept?: string;
  multiple?: boolean;
  directory?: boolean;
  onFiles(list: FileList | null): void;
}

/** The browser's own chooser; the buttons open it. */
function ChosenInput({ inputRef, label, accept, multiple = false, directory = false, onFiles }: ChosenInputProps) {
  return (
    <input
      ref={(element) => {
        inputRef.current = element;
        // Not an attribute that React knows.
        if (directory) element?.setAttribute("webkitdirectory", "");
      }}
      type="file"
      hidden
      aria-label={label}
      accept={accept}
      multiple={multiple}
      onChange={(event) => {
        onFiles(event.target.files);
        // The same file may be chosen again.
        event.target.value = "";
      }}
    />
  );
}
