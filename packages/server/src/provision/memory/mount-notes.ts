import type { MemoryAttachment } from "./memory-mount.ts";

const INTRODUCTION =
  "You have memory that outlives this session: files under /mnt/memory. Look there for what may help before you begin, and " +
  "write there what later sessions should know. A memory is a UTF-8 text file of at most 100 KB; nothing else is kept, and " +
  "nothing can be written under /mnt/memory outside of these directories:";

/** What the agent is told of the memory stores that its session has (semantics §13). */
export function memoryNotes(attachments: readonly MemoryAttachment[]): string[] {
  if (attachments.length === 0) return [];
  return [[INTRODUCTION, ...attachments.map(describeMount)].join("\n")];
}

function describeMount({ mountPath, name, access, description, instructions }: MemoryAttachment): string {
  const may = access === "read_only" ? "read-only" : "you can read and write";
  const more = [description, ...(instructions === null || instructions === "" ? [] : [`How to use it: ${instructions}`])];
  return [`- ${mountPath}: "${name}" (${may})`, ...more.filter((text) => text !== "").map(indented)].join("\n");
}

const indented = (text: string): string => text.replaceAll(/^/gm, "  ");
