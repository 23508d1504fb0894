import { describe, expect, test } from "vitest";
import { parseImage } from "./environment-image.ts";

const DIGEST = `sha256:${"a1".repeat(32)}`;
const registry = (host: string | null, repository: string, reference: string) => ({
  type: "registry",
  registry: host,
  repository,
  reference,
});

describe("what names an image", () => {
  test.each([
    ["file_01abcXYZ", { type: "file", fileId: "file_01abcXYZ" }],
    ["python", registry(null, "python", "latest")],
    ["python:3.12-slim", registry(null, "python", "3.12-slim")],
    ["team/image", registry(null, "team/image", "latest")],
    ["registry.example/team/image:v1", registry("registry.example", "team/image", "v1")],
    ["registry.example:5000/image", registry("registry.example:5000", "image", "latest")],
    ["localhost/image", registry("localhost", "image", "latest")],
    ["[::1]:5000/image", registry("[::1]:5000", "image", "latest")],
    [`registry.example/image@${DIGEST}`, registry("registry.example", "image", DIGEST)],
    [`registry.example/image:v1@${DIGEST}`, registry("registry.example", "image", DIGEST)],
  ])("%s", (text, image) => {
    expect(parseImage(text)).toEqual(image);
  });

  test.each([
    "",
    "Python",
    "python:",
    "python: 3",
    "../etc",
    "a//b",
    "registry.example/",
    "https://registry.example/image",
    "user:password@registry.example/image",
    "registry.example:port/image",
    "image@sha256:abc",
    `image@sha512:${"a".repeat(128)}`,
    `image@${DIGEST}@${DIGEST}`,
    "file_../x",
  ])("not %j", (text) => {
    expect(parseImage(text)).toBeNull();
  });
});
