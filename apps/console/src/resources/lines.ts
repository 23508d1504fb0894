/** The entries of a text that has one a line; empty lines and spaces around count for nothing. */
export function entriesOf(text: string): string[] {
  return text
    .split("\n")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
}
