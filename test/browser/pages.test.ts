import { expect, test } from "vitest";
import { API_KEY, consoleStage, goTo, signIn } from "./fixture/console-stage.ts";

const stage = consoleStage();

test("a key that the server does not know is refused, one that it knows opens the console, and signing out forgets it", async () => {
  const watched = await stage.open("/sessions", { signedIn: false });
  const { page } = watched;
  watched.expectFault(/status of 401/);
  await page.getByLabel("API key").fill("not-a-key-of-this-server");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("The server does not know this key.").waitFor();

  await signIn(page, API_KEY);
  await page.getByRole("heading", { name: "Sessions", level: 1 }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Sessions", level: 1 }).waitFor();

  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("API key").waitFor();
  expect(await page.evaluate<string>("JSON.stringify({ ...sessionStorage, ...localStorage })")).not.toContain(API_KEY);
  await page.reload();
  await page.getByLabel("API key").waitFor();
});

test("the policy of the console's pages allows its own files and the API, and nothing else", async () => {
  const { headers } = await fetch(`${stage.url}/console/sessions`);
  const policy = new Map(
    (headers.get("content-security-policy") ?? "").split(";").map((directive) => {
      const [name = "", ...sources] = directive.trim().split(/\s+/);
      return [name, sources.join(" ")];
    }),
  );
  expect(Object.fromEntries(policy)).toMatchObject({
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
  });
  for (const sources of policy.values()) expect(sources).not.toMatch(/unsafe|https?:|\*/);
  expect(headers.get("x-content-type-options")).toBe("nosniff");
  expect(headers.get("referrer-policy")).toBe("no-referrer");
});

test("a script and a style that somebody gets into a page are stopped, and the tests would see it", async () => {
  const watched = await stage.open();
  const { page } = watched;
  await page.evaluate(`{
    const script = document.createElement("script");
    script.textContent = "window.scriptRan = true";
    document.body.append(script);
    const image = document.createElement("img");
    image.src = "http://127.0.0.1:9/pixel.png";
    document.body.append(image);
  }`);
  await expect.poll(async () => (await watched.takeFaults()).join("\n"), { timeout: 60_000 }).toMatch(/img-src/);
  expect(await page.evaluate("window.scriptRan")).toBeUndefined();
  await page.close();
  // What else the browser said of the same two.
  await watched.takeFaults();
});

test("the address of a page that there is not, and of a session that there is not, say so", async () => {
  const watched = await stage.open("/no-such-page");
  await watched.page.getByText("There is no such page").waitFor();
  watched.expectFault(/status of 404/);
  await goTo(watched.page, "Sessions");
  await watched.page.getByText("No sessions here").waitFor();
});
