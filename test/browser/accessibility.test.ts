import type { Locator, Page } from "playwright-core";
import { call, say } from "@sandbox0/testkit";
import { expect, test } from "vitest";
import { message, openSession, type TestSession } from "../conformance/fixture/test-session.ts";
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
  await expect.poll(() => page.locator("[aria-busy=true], .spinner").count(), { timeout: 60_000 }).toBe(0);
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
  await page.getByRole("button", { name: "Add repository" }).click();
  await page.getByRole("button", { name: "Add pair" }).click();
  await check();
  await page.getByRole("button", { name: "Choose files…" }).click();
  await page.getByRole("dialog", { name: "Choose files" }).waitFor();
  await check();
  await page.keyboard.press("Escape");
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

/** Tab until `target` has the focus. */
async function tabTo(page: Page, target: Locator, tabsMax = 100): Promise<void> {
  for (let tabs = 0; tabs < tabsMax; tabs += 1) {
    if ((await target.and(page.locator(":focus")).count()) > 0) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`${tabsMax} tabs did not lead to ${target}`);
}

test("with nothing but a keyboard: sign in, deny one call with a reason and allow another, on the home page", async () => {
  const [denied, allowed] = [await waitingSession("keyboard, denied"), await waitingSession("keyboard, allowed")];
  const { page } = await stage.open("/", { signedIn: false });
  await page.getByLabel("API key").waitFor();
  await tabTo(page, page.getByLabel("API key"));
  await page.keyboard.type(API_KEY);
  await page.keyboard.press("Enter");

  const first = page.getByRole("article", { name: "Session keyboard, denied" });
  await first.waitFor();
  await tabTo(page, first.getByRole("button", { name: "Deny…" }));
  await page.keyboard.press("Enter");
  const reason = first.getByRole("textbox", { name: "Reason (the agent reads it)" });
  await reason.waitFor();
  await tabTo(page, reason);
  await page.keyboard.type("Not on a Friday.");
  await tabTo(page, first.getByRole("button", { name: "Deny call" }));
  await page.keyboard.press("Space");
  expect(await confirmationOf(denied)).toMatchObject({ result: "deny", deny_message: "Not on a Friday." });

  const second = page.getByRole("article", { name: "Session keyboard, allowed" });
  await tabTo(page, second.getByRole("button", { name: "Allow" }));
  await page.keyboard.press("Enter");
  expect(await confirmationOf(allowed)).toMatchObject({ result: "allow" });
});

async function confirmationOf(session: TestSession): Promise<unknown> {
  const log = await session.until((events) => events.some((event) => event.type === "user.tool_confirmation"));
  return log.find((event) => event.type === "user.tool_confirmation");
}
