import { convert, type FormatCallback, type HtmlToTextOptions } from "html-to-text";

/** Deeper elements are left out: what a page nests for a reader is far above that. */
const DEPTH_MAX = 200;
/** Where a page says what its title and base are. */
const HEAD_CHARS_MAX = 64 * 1024;
const LINK_CHARS_MAX = 2_048;
const TITLE_CHARS_MAX = 500;
const LEFT_OUT = [
  "head",
  "title",
  "script",
  "style",
  "noscript",
  "template",
  "svg",
  "canvas",
  "iframe",
  "object",
  "select",
  "button",
];

/**
 * A page as text, with the marks of Markdown for headings and lists and with absolute links. The library works in one
 * pass and knows neither style nor script; its bounds and those of the thread that this runs in are what a hostile page
 * meets.
 */
export function htmlText(html: string, url: string): { title: string | null; text: string } {
  const head = html.slice(0, HEAD_CHARS_MAX);
  const text = convert(html, optionsFor(baseOf(head, url)));
  return { title: titleOf(head), text: text.replaceAll(" \n", "\n").trim() };
}

function optionsFor(base: string): HtmlToTextOptions {
  const headings = [1, 2, 3, 4, 5, 6].map((level) => ({ selector: `h${level}`, format: "markedHeading", options: { level } }));
  const leftOut = LEFT_OUT.map((selector) => ({ selector, format: "skip" }));
  return {
    wordwrap: false,
    limits: { maxDepth: DEPTH_MAX, maxBaseElements: 1, ellipsis: "[…]" },
    formatters: { markedHeading, tableRow, imageText },
    selectors: [
      ...headings,
      ...leftOut,
      {
        selector: "a",
        options: {
          linkBrackets: ["<", ">"],
          hideLinkHrefIfSameAsText: true,
          pathRewrite: ((href: string) => absolute(href, base)) as never,
        },
      },
      // Lines of cells: a drawn table takes memory without bound when its columns are many or wide.
      { selector: "tr", format: "tableRow" },
      { selector: "td", format: "inlineSurround", options: { suffix: " | " } },
      { selector: "th", format: "inlineSurround", options: { suffix: " | " } },
      { selector: "ul", options: { itemPrefix: "- " } },
      { selector: "img", format: "imageText" },
    ],
  };
}

const markedHeading: FormatCallback = (element, walk, builder, options) => {
  builder.openBlock({ leadingLineBreaks: 2 });
  builder.addInline(`${"#".repeat(options.level as number)} `);
  walk(element.children, builder);
  builder.closeBlock({ trailingLineBreaks: 2 });
};

const tableRow: FormatCallback = (element, walk, builder) => {
  builder.openBlock({ leadingLineBreaks: 1 });
  walk(element.children, builder);
  builder.closeBlock({ trailingLineBreaks: 1 });
};

const imageText: FormatCallback = (element, _walk, builder) => {
  const alt = (element.attribs as Record<string, string | undefined>).alt?.trim();
  if (alt) builder.addInline(`[image: ${alt}]`);
};

/** Empty for what is no address of the web: the link is then its text. */
function absolute(href: string, base: string): string {
  if (href.length > LINK_CHARS_MAX) return "";
  const url = URL.parse(href, base);
  if (url === null || !/^https?:$/.test(url.protocol)) return "";
  return url.href.length > LINK_CHARS_MAX ? "" : url.href;
}

function baseOf(head: string, url: string): string {
  const href = /<base\s[^>]{0,200}href\s*=\s*["']?([^"'\s>]{1,2048})/i.exec(head)?.[1];
  return (href === undefined ? null : URL.parse(href, url))?.href ?? url;
}

function titleOf(head: string): string | null {
  const inner = /<title[^>]{0,200}>([^<]{0,2000})<\/title/i.exec(head)?.[1];
  const title = inner === undefined ? "" : convert(inner, { wordwrap: false }).trim();
  return title === "" ? null : title.slice(0, TITLE_CHARS_MAX);
}
