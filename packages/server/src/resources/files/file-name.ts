import { describeFileNameProblem, invalidRequest } from "@sandbox0/protocol";
import mime from "mime";

const UNKNOWN_TYPE = "application/octet-stream";
const MIME_TYPE = /^[a-z0-9!#$&^_.+-]{1,127}\/[a-z0-9!#$&^_.+-]{1,127}$/;

/** What the client said, if it is a type without parameters; else the type of any bytes. */
export function mimeTypeOf(given: string): string {
  const type = given.toLowerCase();
  return MIME_TYPE.test(type) ? type : UNKNOWN_TYPE;
}

/** By its extension; else the type of any bytes. */
export function mimeTypeOfName(name: string): string {
  return mime.getType(name) ?? UNKNOWN_TYPE;
}

/** A name of a file system, with `_` for what the name of a file must not have. */
export function storableName(name: string): string {
  return name.toWellFormed().replaceAll(/[<>:"|?*\\/\p{Cc}]/gu, "_");
}

/**
 * The last component of what the client calls it, of a path of any system; `unnamed` and the extension of its type when it
 * does not say (contract §13). @throws ApiError
 */
export function fileNameOf(given: string | undefined, mimeType: string): string {
  const name = (given ?? "").split(/[/\\]/).at(-1) ?? "";
  if (name === "") {
    const extension = mime.getExtension(mimeType);
    return extension === null ? "unnamed" : `unnamed.${extension}`;
  }
  const problem = describeFileNameProblem(name);
  if (problem !== null) throw invalidRequest(`file: The filename ${problem}`);
  return name;
}
