import { fileURLToPath } from "node:url";
import type { Plugin } from "rolldown";

const ENTRY = fileURLToPath(new URL("./tool-server/main.ts", import.meta.url));

/**
 * Built-in modules that the SDK's toolset imports and few calls need, with the names it uses. They are loaded at the
 * first use: together they take a third of the tool server's start.
 */
const LOADED_LATER: Readonly<Record<string, readonly string[]>> = {
  "node:child_process": ["spawn"],
  "node:crypto": ["createHash", "randomBytes", "randomUUID"],
  "node:readline": ["createInterface"],
  "node:worker_threads": ["Worker"],
};
const PREFIX = "\0later:";

const loadLater: Plugin = {
  name: "load-later",
  resolveId: (id) => (id in LOADED_LATER ? `${PREFIX}${id}` : null),
  load: (id) => {
    if (!id.startsWith(PREFIX)) return null;
    const module = id.slice(PREFIX.length);
    // `new.target` tells a class from a function: what a constructor returns is the result of `new`.
    return (LOADED_LATER[module] ?? [])
      .map((name) => {
        const real = `process.getBuiltinModule(${JSON.stringify(module)}).${name}`;
        return `export function ${name}(...args) { return new.target ? new (${real})(...args) : ${real}(...args); }`;
      })
      .join("\n");
  },
};

/** @returns the tool server in one CommonJS file: 20 kB of the SDK instead of all of it */
export async function bundleToolServer(): Promise<string> {
  const { rolldown } = await import("rolldown");
  const build = await rolldown({
    input: ENTRY,
    platform: "node",
    plugins: [loadLater],
    treeshake: { moduleSideEffects: false },
    logLevel: "silent",
  });
  const { output } = await build.generate({ format: "cjs", minify: true, codeSplitting: false });
  await build.close();
  return output[0].code;
}
