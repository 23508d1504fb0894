import type { Nodes, Parents, Root } from "mdast";
import { fromMarkdown } from "mdast-util-from-markdown";
import { gfmFromMarkdown } from "mdast-util-gfm";
import { gfm } from "micromark-extension-gfm";
import { Fragment, memo, type ReactNode } from "react";
import { CodeBlock } from "../ui/code-block.tsx";
import { LinkHost, OuterLink } from "./outer-link.tsx";
import { markHidden, safeHref, stripTerminal } from "./untrusted-text.ts";
import { Pieces, Untrusted } from "./untrusted.tsx";

/** Beyond these a text is shown as it was written: what a parser takes for its worst cases grows with their square. */
const MARKDOWN_CHARS_MAX = 40_000;
const LINES_MAX = 1_000;
const DELIMITERS_MAX = 3_000;
const INDENT_COLUMNS_MAX = 80;
/** Quotes and lists that begin on one line, within each other. No two parts of it may match the same blanks. */
const NESTED_ON_A_LINE = /^(?:[ \t]*(?:[>*+-]|\d{1,9}[.)])){10}/m;
/** Each item of such a line is dear: so few lines may begin with more than two. */
const NESTED_LINE = /^(?:[ \t]*(?:[>*+-]|\d{1,9}[.)])){3}/gm;
const NESTED_LINES_MAX = 100;
/** What may end an address without being of it: at each of these the parser looks at all that follow. */
const ENDS_OF_AN_ADDRESS = /(?:[!"'()*,.:;<>?\]_~]|&[a-zA-Z]{1,32};){200}/;
const INDENTED = new RegExp(`^[ \\t]{${INDENT_COLUMNS_MAX}}`, "m");
/** Deeper is shown as source. */
const DEPTH_MAX = 24;

/** A message as safe markdown: parsed to a tree and rendered from it. HTML in it stays text; images are links. */
export const Markdown = memo(function Markdown({ text }: { text: string }) {
  const source = text.length > MARKDOWN_CHARS_MAX ? "" : stripTerminal(text);
  const tree = text.length > MARKDOWN_CHARS_MAX || isTooMuch(source) ? null : parse(source);
  if (tree === null) return <Untrusted text={text} fileName="message.md" />;
  return (
    <div className="markdown" dir="auto">
      <Children node={tree} source={source} depth={0} />
    </div>
  );
});

function isTooMuch(source: string): boolean {
  const delimiters = source.match(/[*_~[\]`|<]/g)?.length ?? 0;
  const lines = source.match(/\n/g)?.length ?? 0;
  const nested = source.match(NESTED_LINE)?.length ?? 0;
  if (delimiters > DELIMITERS_MAX || lines > LINES_MAX || nested > NESTED_LINES_MAX) return true;
  return [NESTED_ON_A_LINE, INDENTED, ENDS_OF_AN_ADDRESS].some((costly) => costly.test(source));
}

function parse(source: string): Root | null {
  try {
    return fromMarkdown(source, { extensions: [gfm()], mdastExtensions: [gfmFromMarkdown()] });
  } catch {
    // A parser that gives up on a hostile text (too deep a stack) must not take the page with it: it is shown as source.
    return null;
  }
}

interface NodeProps<N extends Nodes = Nodes> {
  node: N;
  source: string;
  depth: number;
}

function Children({ node, source, depth }: NodeProps<Parents>) {
  return node.children.map((child) => (
    <Node key={child.position?.start.offset ?? 0} node={child} source={source} depth={depth + 1} />
  ));
}

function Text({ text }: { text: string }) {
  return <Pieces pieces={markHidden(text)} />;
}

function sourceOf({ node, source }: NodeProps): string {
  return source.slice(node.position?.start.offset ?? 0, node.position?.end.offset ?? 0);
}

function Node(props: NodeProps): ReactNode {
  const { node, depth } = props;
  if (depth > DEPTH_MAX) return <Text text={sourceOf(props)} />;
  switch (node.type) {
    case "text":
      return <Text text={node.value} />;
    case "inlineCode":
      return (
        <code>
          <Text text={node.value} />
        </code>
      );
    case "code":
      return <CodeBlock text={node.value} label={node.lang ? `${node.lang} code` : "Code"} />;
    case "html":
      return <code>{<Text text={node.value} />}</code>;
    case "break":
      return <br />;
    case "thematicBreak":
      return <hr />;
    case "link":
      return <SafeLink {...props} node={node} />;
    case "image":
      return <OuterLink address={node.url} text={`image: ${node.alt || node.url}`} />;
    default:
      return "children" in node ? <Container {...props} node={node} /> : <Text text={sourceOf(props)} />;
  }
}

const TAGS = {
  paragraph: "p",
  emphasis: "em",
  strong: "strong",
  delete: "del",
  blockquote: "blockquote",
  listItem: "li",
} as const;

function Container(props: NodeProps<Parents>): ReactNode {
  const { node } = props;
  const inner = <Children {...props} />;
  switch (node.type) {
    case "paragraph":
    case "emphasis":
    case "strong":
    case "delete":
    case "blockquote": {
      const Tag = TAGS[node.type];
      return <Tag>{inner}</Tag>;
    }
    case "heading":
      return (
        <p>
          <strong>{inner}</strong>
        </p>
      );
    case "list":
      return node.ordered ? <ol start={node.start ?? 1}>{inner}</ol> : <ul>{inner}</ul>;
    case "listItem":
      return (
        <li>
          {typeof node.checked === "boolean" ? <input type="checkbox" checked={node.checked} disabled aria-label="Done" /> : null}
          {inner}
        </li>
      );
    case "table":
      return <Table {...props} node={node} />;
    case "footnoteDefinition":
      return (
        <div className="small">
          [{node.label ?? node.identifier}] {inner}
        </div>
      );
    default:
      return <Fragment>{inner}</Fragment>;
  }
}

function Table({ node, ...rest }: NodeProps<Extract<Nodes, { type: "table" }>>): ReactNode {
  const [head, ...rows] = node.children.map((row, place) => {
    const Cell = place === 0 ? "th" : "td";
    return (
      <tr key={row.position?.start.offset}>
        {row.children.map((cell) => (
          <Cell key={cell.position?.start.offset} className="markdown-cell">
            <Children {...rest} node={cell} />
          </Cell>
        ))}
      </tr>
    );
  });
  return (
    <table>
      <thead>{head}</thead>
      <tbody>{rows}</tbody>
    </table>
  );
}

function SafeLink(props: NodeProps<Extract<Nodes, { type: "link" }>>): ReactNode {
  const href = safeHref(props.node.url);
  const inner = <Children {...props} />;
  if (href === null) {
    return (
      <span>
        {inner} <code className="small">{<Text text={props.node.url} />}</code>
      </span>
    );
  }
  return (
    <span>
      <a href={href} target="_blank" rel="noopener noreferrer" title={href}>
        {inner}
      </a>
      {saysWhere(sourceOf(props), href) ? null : <LinkHost href={href} />}
    </span>
  );
}

/** An address that is written out. `http://bank.example@evil.example` only begins as one of the bank. */
function saysWhere(source: string, href: string): boolean {
  return source.replace("<", "").startsWith(`${new URL(href).origin}/`) || source === new URL(href).origin;
}
