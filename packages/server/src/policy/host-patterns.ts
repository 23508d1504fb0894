/**
 * Whether every host that `pattern` means is also meant by one of `patterns`. `x` is that host alone, `*.x` every subdomain of
 * `x` but not `x` (semantics §3).
 */
export function isCovered(pattern: string, patterns: readonly string[]): boolean {
  const wanted = pattern.toLowerCase();
  const below = wanted.replace(/^\*/, "");
  return patterns.some((each) => {
    const wide = each.toLowerCase();
    return wanted === wide || (wide.startsWith("*.") && below.endsWith(wide.slice(1)));
  });
}
