/**
 * Whether every host that `pattern` means is also meant by one of `patterns`. `x` is that host alone, `*.x` every subdomain of
 * `x` but not `x` (semantics §3). Both are as they were validated and stored: what a sandbox writes is for `hostMatches` of the
 * gateway, which reads every spelling of a host.
 */
export function isCovered(pattern: string, patterns: readonly string[]): boolean {
  const wanted = pattern.toLowerCase();
  const below = wanted.replace(/^\*/, "");
  return patterns.some((each) => {
    const wide = each.toLowerCase();
    return wanted === wide || (wide.startsWith("*.") && below.endsWith(wide.slice(1)));
  });
}
