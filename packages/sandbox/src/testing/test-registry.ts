import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { digestOf, type ImageEntry, imageFiles, type TestImage } from "./image-archive.ts";

const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";
const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const TOKEN = "token-of-anybody";

/** A registry with one repository, on this machine, that asks for a token and has its blobs at another port. */
export interface TestRegistry {
  /** Host and port. */
  readonly host: string;
  /** Of the blobs. */
  readonly storeHost: string;
  /** Of the index of platforms. */
  readonly digest: string;
  /** Method, path and whether there was a token, of what it was asked. */
  readonly asked: string[];
  /** By digest; what is changed here is what is sent. */
  readonly blobs: Map<string, Buffer>;
  /** In place of its own answer. */
  answer: ((request: IncomingMessage, response: ServerResponse) => boolean) | null;
  close(): Promise<void>;
}

export async function startTestRegistry(repository: string, image: TestImage): Promise<TestRegistry> {
  const files = await imageFiles(image);
  const blobs = new Map(files.filter(isBlob).map(({ content = "" }) => [digestOf(content), Buffer.from(content)]));
  const { manifests } = JSON.parse(String(files.at(-1)?.content)) as { manifests: object[] };
  const own = { os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch };
  const other = {
    mediaType: MANIFEST_TYPE,
    digest: digestOf("other"),
    size: 5,
    platform: { os: "linux", architecture: "s390x" },
  };
  const index = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [other, { ...manifests[0], platform: own }] }));
  const digest = digestOf(index);
  blobs.set(digest, index);
  const asked: string[] = [];
  const note = (request: IncomingMessage): void => {
    asked.push(`${request.url}${request.headers.authorization === undefined ? "" : " with a token"}`);
  };
  const store = await listen((request, response) => {
    note(request);
    sendBlob(response, blobs.get(String(request.url).slice(1)));
  });
  const registry: Omit<TestRegistry, "host" | "close"> = { storeHost: hostOf(store), digest, asked, blobs, answer: null };
  const server = await listen((request, response) => {
    note(request);
    if (registry.answer?.(request, response) === true) return;
    const [, what, name = ""] = new RegExp(`^/v2/${repository}/(manifests|blobs)/(.+)$`).exec(request.url ?? "") ?? [];
    if (request.url?.startsWith("/token?")) return void response.end(JSON.stringify({ token: TOKEN }));
    if (request.headers.authorization !== `Bearer ${TOKEN}`) {
      const realm = `http://${request.headers.host}/token`;
      response.writeHead(401, {
        "www-authenticate": `Bearer realm="${realm}",service="test",scope="repository:${repository}:pull"`,
      });
      return void response.end();
    }
    if (what === "blobs") return void response.writeHead(307, { location: `http://${registry.storeHost}/${name}` }).end();
    const found = what === "manifests" ? blobs.get(name === "latest" ? digest : name) : undefined;
    if (found !== undefined) response.setHeader("content-type", found === index ? INDEX_TYPE : MANIFEST_TYPE);
    sendBlob(response, found);
  });
  const close = async (): Promise<void> => void (await Promise.all([server, store].map(stop)));
  return Object.assign(registry, { host: hostOf(server), close });
}

const isBlob = ({ name }: ImageEntry): boolean => name.startsWith("blobs/");
const hostOf = (server: Server): string => `127.0.0.1:${(server.address() as AddressInfo).port}`;

function sendBlob(response: ServerResponse, content: Buffer | undefined): void {
  if (content !== undefined) return void response.end(content);
  response.writeHead(404).end(JSON.stringify({ errors: [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown" }] }));
}

function listen(handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer(handle).listen(0, "127.0.0.1", () => resolve(server));
  });
}

async function stop(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
