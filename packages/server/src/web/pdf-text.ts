import { getDocumentProxy } from "unpdf";

/** Of a longer document the first pages are read. */
export const PDF_PAGES_MAX = 1_000;

const ERRORS_ONLY = 0;

/** The text of a document's pages in their order, until there are `charsMax` of it. @throws Error for what is no PDF */
export async function pdfText(bytes: Uint8Array, charsMax: number): Promise<{ title: string | null; text: string }> {
  const document = await getDocumentProxy(bytes, { disableFontFace: true, useSystemFonts: false, verbosity: ERRORS_ONLY });
  const pages: string[] = [];
  let chars = 0;
  const pagesMax = Math.min(document.numPages, PDF_PAGES_MAX);
  for (let number = 1; number <= pagesMax && chars < charsMax; number++) {
    const page = await document.getPage(number);
    const { items } = await page.getTextContent();
    const text = items
      .map((item) => ("str" in item ? `${item.str}${item.hasEOL ? "\n" : ""}` : ""))
      .join("")
      .trim();
    page.cleanup();
    pages.push(`[page ${number}]\n${text}`);
    chars += text.length;
  }
  if (pages.length < document.numPages) pages.push(`[${document.numPages - pages.length} more pages were left out]`);
  const { info } = (await document.getMetadata()) as { info?: { Title?: unknown } };
  const title = typeof info?.Title === "string" && info.Title.trim() !== "" ? info.Title.trim().slice(0, 500) : null;
  return { title, text: pages.join("\n\n") };
}
