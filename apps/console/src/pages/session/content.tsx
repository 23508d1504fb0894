import type { MessageContent, ResultContent } from "@sandbox0/protocol";
import { OuterLink } from "../../text/outer-link.tsx";
import { Untrusted, UntrustedLine } from "../../text/untrusted.tsx";
import { CodeBlock } from "../../ui/code-block.tsx";
import { Button } from "../../ui/button.tsx";
import { saveAs } from "../../ui/download.ts";

type Block = MessageContent | ResultContent;
type ImageSource = Extract<Block, { type: "image" }>["source"];
type DocumentBlock = Extract<Block, { type: "document" }>;

/** What browsers show as pictures and nothing else: an SVG could hold a script. */
const IMAGE_TYPES: readonly string[] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/** Blocks of a message or a result. Nothing in them is loaded from anywhere. */
export function Content({ blocks, mono = false }: { blocks: readonly Block[]; mono?: boolean }) {
  return blocks.map((block, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: the blocks of a stored event never change
    <ContentBlock key={index} block={block} mono={mono} />
  ));
}

function ContentBlock({ block, mono }: { block: Block; mono: boolean }) {
  switch (block.type) {
    case "text":
      return mono ? <CodeBlock text={block.text} label="Output" /> : <Untrusted text={block.text} />;
    case "image":
      return <Picture source={block.source} />;
    case "document":
      return <DocumentLine block={block} />;
    case "search_result":
      return (
        <div>
          <OuterLink address={block.source} text={block.title} />
          <Untrusted text={block.content.map((each) => each.text).join("\n")} />
        </div>
      );
    case "redacted":
      return <em>Withheld by policy</em>;
    default:
      return <CodeBlock text={JSON.stringify(block, null, 2)} label="Content" />;
  }
}

function Picture({ source }: { source: ImageSource }) {
  if (source.type === "url") return <OuterLink address={source.url} text="Picture at another server" />;
  if (source.type === "file") return <span className="mono small">Picture: {source.file_id}</span>;
  if (!IMAGE_TYPES.includes(source.media_type)) return <em>A picture of type {source.media_type}, which is not shown</em>;
  return <img className="picture" alt="Attached by the conversation" src={`data:${source.media_type};base64,${source.data}`} />;
}

function DocumentLine({ block }: { block: DocumentBlock }) {
  const { source } = block;
  const title = block.title ?? "Document";
  if (source.type === "url") return <OuterLink address={source.url} text={title} />;
  if (source.type === "file") {
    return (
      <div className="small">
        <UntrustedLine text={title} /> <span className="mono">{source.file_id}</span>
      </div>
    );
  }
  if (source.type === "text") return <CodeBlock text={source.data} label={title} />;
  const save = () => saveAs(new Blob([Uint8Array.from(atob(source.data), (char) => char.charCodeAt(0))]), "document.pdf");
  return (
    <Button size="small" icon="download" onClick={save}>
      <UntrustedLine text={title} />
    </Button>
  );
}
