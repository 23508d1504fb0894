/**
 * The beginning of a body, up to a number of bytes (of what is unpacked: a small answer may be a large one). Reads no more than
 * it takes to know whether there is more, and gives the connection up then.
 * @returns `complete`: this is all of it
 * @throws what `fetch` throws when the body breaks off or its signal fires
 */
export async function readStart(
  response: Pick<Response, "body">,
  bytesMax: number,
): Promise<{ bytes: Buffer<ArrayBuffer>; complete: boolean }> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    size += chunk.length;
    // To leave the loop cancels the body.
    if (size > bytesMax) break;
  }
  return { bytes: Buffer.concat(chunks).subarray(0, bytesMax), complete: size <= bytesMax };
}
