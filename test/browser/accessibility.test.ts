import type { Page } from "playwright-core";
import { call, say } from "@sandbox0/testkit";
import { expect, test } from "vitest";
import { message, openSession, type TestSession, waitingIds } from "../conformance/fixture/test-session.ts";
import { accessibilityFaults } from "./fixture/accessibility.ts";
import { API_KEY, consoleStage, MODEL, PHONE } from "./fixture/console-stage.ts";

const stage = consoleStage();
const VIEWS = ["Conversation", "Events", "Timeline", "Files", "Usage & setup", "Snapshots"];
const COLOR_SCHEMES = ["light", "dark"] as const;

/** A session that waits for the approval of a command, and behind it answers "Done." */
async function waitingSession(title: string): Promise<TestSession> {
  const ask = `Please run it: ${title}`;
  stage.whenAsked(
    ask,
    call("bash", { command: "echo ran > /mnt/session/outputs/ran.txt; echo ran" }),
    say("Done, **and** said so."),
  );
  const agent = await stage.client.beta.agents.create({
    name: "careful",
    model: MODEL,
    tools: [{ type: "agent_toolset_20260401", default_config: { permission_policy: { type: "always_ask" } } }],
  });
  const params = { agent: agent.id, environment_id: stage.server.environmentId, title };
  const session = openSession(stage.client, await stage.client.beta.sessions.create(params), () => undefined);
  await session.send(message(ask));
  await session.rest();
  return session;
}

/** Loads are over: what is looked at is the page, not its spinner. */
async function settled(page: Page): Promise<void> {
  await page.locator("main#main").waitFor();
  await page.waitForFunction("document.querySelectorAll('[aria-busy=true], .spinner').length === 0");
}

test.each(COLOR_SCHEMES)("every page of the console, %s: no serious fault", async (colorScheme) => {
  const session = await waitingSession(`axe ${colorScheme}`);
  const { page } = await stage.open("/", { colorScheme });
  const faults: string[] = [];
  const check = async (): Promise<void> => {
    await settled(page);
    faults.push(...(await accessibilityFaults(page)));
  };
  const main = page.getByRole("navigation", { name: "Main" });
  const names = await main.getByRole("link").allInnerTexts();
  expect(names.length).toBeGreaterThan(1);
  for (const link of await main.getByRole("link").all()) {
    await link.click();
    await check();
  }
  await page.getByRole("link", { name: "Sessions", exact: true }).first().click();
  await page.getByRole("link", { name: "New session" }).click();
  await page.getByLabel("First message").waitFor();
  await check();
  await page.goto(`${stage.url}/console/sessions/${session.id}`);
  for (const view of VIEWS) {
    await page.getByRole("navigation", { name: "Views of the session" }).getByRole("link", { name: view, exact: true }).click();
    await check();
  }
  expect(faults).toEqual([]);
});

test("the sign-in and its error, a dialog, an open menu, a phone: no serious fault", async () => {
  const session = await waitingSession("axe states");
  const outside = await stage.open("/", { signedIn: false });
  outside.expectFault(/status of 401/);
  await outside.page.getByLabel("API key").fill("unknown");
  await outside.page.getByRole("button", { name: "Sign in" }).click();
  await outside.page.getByRole("alert").waitFor();
  expect(await accessibilityFaults(outside.page)).toEqual([]);

  const { page } = await stage.open(`/sessions/${session.id}`, { viewport: PHONE });
  await page.getByRole("region", { name: "Approve bash" }).waitFor();
  expect(await accessibilityFaults(page)).toEqual([]);
  await page.getByRole("button", { name: "More actions" }).click();
  await page.getByRole("menu").waitFor();
  expect(await accessibilityFaults(page)).toEqual([]);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Fork" }).click();
  await page.getByRole("dialog").waitFor();
  expect(await accessibilityFaults(page)).toEqual([]);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Menu", exact: true }).click();
  await page.getByRole("navigation", { name: "Main" }).waitFor();
  expect(await accessibilityFaults(page)).toEqual([]);
});

/** Tab until `name` has the focus. */
async function tabTo(page: Page, name: string | RegExp, tabsMax = 60): Promise<void> {
  for (let tabs = 0; tabs < tabsMax; tabs += 1) {
    await page.keyboard.press("Tab");
    if (
      await page
        .getByRole("button", { name, exact: typeof name === "string" })
        .and(page.locator(":focus"))
        .count()
    )
      return;
  }
  throw new Error(`${tabsMax} tabs did not lead to ${name}`);
}

test("with nothing but a keyboard: sign in, deny one call with a reason and allow the next from the home page", async () => {
  const denied = await waitingSession("keyboard, denied");
  const { page } = await stage.open("/", { signedIn: false });
  await page.getByLabel("API key").waitFor();
  await page.keyboard.press("Tab");
  await page.keyboard.type(API_KEY);
  await page.keyboard.press("Enter");
  await page.getByRole("article", { name: "keyboard, denied" }).waitFor();

  await tabTo(page, "Deny…");
  await page.keyboard.press("Enter");
  const reason = page.getByRole("textbox", { name: "Reason (the agent reads it)" });
  await reason.waitFor();
  while ((await reason.and(page.locator(":focus")).count()) === 0) await page.keyboard.press("Shift+Tab");
  await page.keyboard.type("Not on a Friday.");
  await tabTo(page, "Deny call");
  await page.keyboard.press("Space");
  const events = await denied.until((log) => log.some((event) => event.type === "user.tool_confirmation"));
  expect(events.findLast((event) => event.type === "user.tool_confirmation")).toMatchObject({
    result: "deny",
    deny_message: "Not on a Friday.",
  });

  const allowed = await waitingSession("keyboard, allowed");
  expect(waitingIds(await allowed.events())).toHaveLength(1);
  await page.getByRole("article", { name: "keyboard, allowed" }).waitFor();
  await tabTo(page, "Allow");
  await page.keyboard.press("Enter");
  const after = await allowed.until((log) => log.some((event) => event.type === "user.tool_confirmation"));
  expect(after.findLast((event) => event.type === "user.tool_confirmation")).toMatchObject({ result: "allow" });
});
