/**
 * Writes the table of docs/harnesses.md anew.
 *
 * Usage: node test/harnesses/write-table.ts
 */
import { readFile, writeFile } from "node:fs/promises";
import { harnessTable, TABLE_BEGIN, TABLE_END } from "./table.ts";

const DOCUMENT = new URL("../../docs/harnesses.md", import.meta.url);

const [before = "", rest = ""] = (await readFile(DOCUMENT, "utf8")).split(TABLE_BEGIN);
await writeFile(DOCUMENT, `${before}${TABLE_BEGIN}\n${await harnessTable()}\n${TABLE_END}${rest.split(TABLE_END)[1] ?? ""}`);
