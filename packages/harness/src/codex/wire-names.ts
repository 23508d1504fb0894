const RESERVED = new Set(["exec_command", "mcp", "shell_command"]);
const RESERVED_PREFIX = "mcp__";

/** The names under which Codex offers the tools of a turn to the model: it keeps some names to itself. */
export interface WireNames {
  toWire(name: string): string;
  fromWire(name: string): string;
}

/** A reserved name loses or gets underscores, until no tool has it. @param names of the turn's tools, all different */
export function createWireNames(names: readonly string[]): WireNames {
  const byWire = new Map<string, string>();
  const byName = new Map<string, string>();
  const add = (name: string, wire: string): void => {
    byWire.set(wire, name);
    byName.set(name, wire);
  };
  for (const name of names) if (!isReserved(name)) add(name, name);
  for (const name of names.filter(isReserved)) {
    let wire = freeName(name);
    while (byWire.has(wire)) wire += "_";
    add(name, wire);
  }
  return {
    // A tool that the agent has no more keeps a name in what was said with it.
    toWire: (name) => byName.get(name) ?? (isReserved(name) ? freeName(name) : name),
    fromWire: (wire) => byWire.get(wire) ?? wire,
  };
}

function isReserved(name: string): boolean {
  return RESERVED.has(name) || name.startsWith(RESERVED_PREFIX);
}

function freeName(name: string): string {
  return name.startsWith(RESERVED_PREFIX) ? `mcp_${name.slice(RESERVED_PREFIX.length)}` : `${name}_`;
}
