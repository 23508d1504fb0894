import { expect, test } from "vitest";
import { parseS3Url } from "./s3-url.ts";

test("a bucket, a prefix, and where it is", () => {
  expect(parseS3Url("s3://my-bucket")).toEqual({ bucket: "my-bucket", prefix: "" });
  expect(parseS3Url("s3://my-bucket/")).toEqual({ bucket: "my-bucket", prefix: "" });
  expect(parseS3Url("s3://my.bucket/a/b%20c/?region=eu-1&endpoint=http://127.0.0.1:9000")).toEqual({
    bucket: "my.bucket",
    prefix: "a/b c/",
    endpoint: "http://127.0.0.1:9000",
    region: "eu-1",
  });
});

test.each([
  ["https://my-bucket", /must be an s3/],
  ["s3://key:secret@my-bucket", /must not have a key in it/],
  ["s3://UP_per", /name of a bucket/],
  ["s3:///prefix", /s3:\/\/|name of a bucket/],
  ["s3://my-bucket?secret=x", /unknown parameter "secret"/],
  ["s3://my-bucket?endpoint=ftp://x", /endpoint/],
  ["s3://my-bucket?endpoint=nonsense", /endpoint/],
])("%s is refused", (url, message) => {
  expect(() => parseS3Url(url)).toThrow(message);
});
