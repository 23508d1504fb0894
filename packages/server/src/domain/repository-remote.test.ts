import { expect, test } from "vitest";
import { remoteOf } from "./repository-remote.ts";

test.each([
  ["https://github.com/owner/name", "https://github.com/owner/name", "github.com", 443, "/owner/name"],
  ["https://GitHub.com:443/Owner/Na.me", "https://github.com/Owner/Na.me", "github.com", 443, "/Owner/Na.me"],
  ["https://git.example.:8443/a/b/c.git", "https://git.example.:8443/a/b/c.git", "git.example", 8443, "/a/b/c"],
  ["https://git.example/a/../b/c.git.git", "https://git.example/b/c.git.git", "git.example", 443, "/b/c.git"],
  ["https://[2001:DB8::1]/a.git", "https://[2001:db8::1]/a.git", "2001:db8::1", 443, "/a"],
])("%s", (given, url, host, port, path) => {
  expect(remoteOf(given)).toEqual({ url, host, port, path });
});
