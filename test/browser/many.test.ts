import { findProblems, sessionEventSchema } from "@sandbox0/protocol";
import { hold, say } from "@sandbox0/testkit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { message } from "../conformance/fixture/test-session.ts";
import { consoleStage, goTo, MODEL } from "./fixture/console-stage.ts";
import { type LogWriter, NEWEST, openLogWriter } from "./fixture/log-writer.ts";
import { heapMib, scrollList } from "./fixture/scrolling.ts";

const stage = consoleStage();
const EVENTS = 50_000;
const LIVE_SESSIONS = 200;
/** Far more than the console takes, far less than all of such a session would. */
const HEAP_MIB_MAX = 150;
const ELEMENTS_MAX = 3_000;
const SCROLL_FRAMES = 120;
const SCROLL_PX = 400;

let writer: LogWriter | undefined;
beforeAll(async () => {
  writer = await openLogWriter(stage.server.connectionString);
});
afterAll(() => writer?.close());

async function createSession(title: string): Promise<string> {
  const agent = await stage.client.beta.agents.create({ name: "agent", model: MODEL });
  const params = { agent: agent.id, environment_id: stage.server.environmentId, title };
  return (await stage.client.beta.sessions.create(params)).id;
}

const elementCount = "document.querySelectorAll('*').length";

test("a session of 50,000 events opens at its newest, scrolls without blank frames, and keeps a small part of itself", async () => {
  const id = await createSession("a long one");
  await writer?.writeTurns(id, EVENTS);
  const newest = await stage.client.beta.sessions.events.list(id, { order: "desc", limit: 100 });
  for (const event of newest.data) expect(findProblems(sessionEventSchema, event)).toEqual([]);

  const { page } = await stage.open(`/sessions/${id}`);
  await page.getByText(NEWEST).waitFor();
  expect(await page.getByText(NEWEST).isVisible()).toBe(true);
  expect(await page.evaluate<number>(elementCount)).toBeLessThan(ELEMENTS_MAX);

  // What is written now appears where the reader is.
  await page.locator('[data-connection="live"]').waitFor();
  await writer?.writeMessage(id, "Written while somebody looks.");
  await page.getByText("Written while somebody looks.").waitFor();

  for (const list of ["Conversation", "Events"]) {
    await page.getByRole("navigation", { name: "Views of the session" }).getByRole("link", { name: list, exact: true }).click();
    await page.getByRole("region", { name: list }).getByText("Written while somebody looks.").waitFor();
    const scrolled = await scrollList(page, { list, byPx: -SCROLL_PX, frames: SCROLL_FRAMES });
    expect(scrolled.blank, `blank frames of ${list}`).toEqual([]);
    expect(await page.evaluate<number>(elementCount)).toBeLessThan(ELEMENTS_MAX);
  }
  // Older pages were read on the way.
  const loaded = async () => Number((await page.getByText(/^[\d,]+ loaded/).textContent())?.replace(",", "").split(" ")[0]);
  await expect.poll(loaded, { timeout: 60_000 }).toBeGreaterThan(500);
  expect(await heapMib(page)).toBeLessThan(HEAP_MIB_MAX);

  await page.getByRole("link", { name: "Conversation" }).click();
  await page.getByRole("region", { name: "Conversation" }).getByText("Written while somebody looks.").waitFor();
});

test("200 sessions that run are on the list, all of them by scrolling, and each as it is now", async () => {
  const gate = stage.gate();
  stage.whenAsked("Run until you are told.", [hold(gate), say("Told.")]);
  const ids: string[] = [];
  for (let made = 0; made < LIVE_SESSIONS; made += 1) ids.push(await createSession(`live ${made}`));
  const ask = message("Run until you are told.");
  for (const id of ids) await stage.client.beta.sessions.events.send(id, { events: [ask] });
  const { page } = await stage.open("/sessions");
  const list = page.getByRole("region", { name: "Sessions" });
  await list.getByRole("link", { name: `live ${LIVE_SESSIONS - 1}`, exact: true }).waitFor();
  expect(await page.evaluate<number>(elementCount)).toBeLessThan(ELEMENTS_MAX);
  const row = list
    .getByRole("listitem")
    .filter({ has: page.getByRole("link", { name: `live ${LIVE_SESSIONS - 1}`, exact: true }) });
  await row.getByText("Running").waitFor();

  const oldest = list.getByRole("link", { name: "live 0", exact: true });
  while ((await oldest.count()) === 0) {
    const { blank } = await scrollList(page, { list: "Sessions", byPx: SCROLL_PX, frames: 10 });
    expect(blank).toEqual([]);
  }
  await page.getByText(`${LIVE_SESSIONS + 1} shown`).waitFor();

  gate.open();
  const status = page.getByRole("combobox", { name: "Status" });
  await status.selectOption({ label: "Running" });
  await page.getByText("No sessions here").waitFor();
  await goTo(page, "Home");
  await page.getByText("No session runs right now").waitFor();
});
