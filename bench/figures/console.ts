import type { Page } from "playwright-core";
import { launchChromium } from "../../test/browser/fixture/chromium.ts";
import { NEWEST, openLogWriter } from "../../test/browser/fixture/log-writer.ts";
import { heapMib, scrollList } from "../../test/browser/fixture/scrolling.ts";
import { createGate, hold, say } from "@sandbox0/testkit";
import { API_KEY, type BenchServer, SAY, sendMessage } from "../bench-server.ts";
import { type Figure, times, value } from "../figure.ts";
import { createSessions, overConnections } from "../load.ts";
import type { RunContext } from "../run-context.ts";
import { startSecondNode } from "../second-node.ts";

const EVENTS = 50_000;
const LIVE = 200;
const LOADS = 20;
/** The first loads fill the browser's cache and compile the code of both sides. */
const WARM_UP_LOADS = 3;
const SCROLL_FRAMES = 900;
const SCROLL_PX = 300;
const VIEWPORT = { width: 1280, height: 800 };
/** A frame of a screen with 60 of them a second, and one that is late by two. */
const FRAME = { p50Max: 20, p99Max: 50 };
const LOAD = { p99Max: 1_000 };

/** The console in Chromium: a session of 50,000 events, and a list of 200 sessions that run. */
export async function consolePages(context: RunContext): Promise<Figure[]> {
  const { server, dataDir } = await context.start();
  const browser = await launchChromium();
  try {
    const page = await (await browser.newContext({ viewport: VIEWPORT })).newPage();
    await signIn(page, server);
    return [...(await longSession(page, server, dataDir)), ...(await liveSessions(page, server, context))];
  } finally {
    await browser.close();
    await server.stop();
  }
}

async function signIn(page: Page, { url }: BenchServer): Promise<void> {
  await page.goto(`${url}/console`);
  await page.getByLabel("API key").fill(API_KEY);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.locator("main#main").waitFor();
}

/**
 * From the start of the navigation until a frame has `text` in it, by the page's own clock.
 * @param text of an element that matches `selector`
 */
async function load(page: Page, address: string, selector: string, text: string): Promise<number> {
  await page.goto(address, { waitUntil: "commit" });
  // One expression: the policy of the page lets nothing be evaluated later.
  return page.evaluate<number>(`new Promise((resolve) => {
    const isShown = () =>
      [...document.querySelectorAll(${JSON.stringify(selector)})].some((each) => each.textContent.includes(${JSON.stringify(text)}));
    const look = () => (isShown() ? resolve(performance.now()) : requestAnimationFrame(look));
    look();
  })`);
}

async function loads(page: Page, address: string, selector: string, text: string): Promise<number[]> {
  const samples: number[] = [];
  for (let index = 0; index < WARM_UP_LOADS + LOADS; index += 1) samples.push(await load(page, address, selector, text));
  return samples.slice(WARM_UP_LOADS);
}

async function longSession(page: Page, server: BenchServer, dataDir: string): Promise<Figure[]> {
  const node = await startSecondNode(dataDir);
  try {
    const [id = ""] = await createSessions(server, 1);
    const writer = await openLogWriter(node.connectionString);
    await writer.writeTurns(id, EVENTS);
    await writer.close();
    const opened = await loads(page, `${server.url}/console/sessions/${id}`, "article", NEWEST);
    const heapOpened = await heapMib(page);
    const { frames, blank } = await scrollList(page, { list: "Conversation", byPx: -SCROLL_PX, frames: SCROLL_FRAMES });
    return [
      times(`console: a session of ${EVENTS} events`, opened, LOAD),
      value("  JavaScript heap", heapOpened, "MiB", 1, {}),
      times(`  a frame, scrolling ${SCROLL_PX} px each`, frames, FRAME),
      value("  frames with a gap", blank.length, "frames", frames.length, { valueMax: 0 }),
      value("  JavaScript heap after it", await heapMib(page), "MiB", 1, {}),
    ];
  } finally {
    await node.close();
  }
}

async function liveSessions(page: Page, server: BenchServer, { provider }: RunContext): Promise<Figure[]> {
  const gate = createGate();
  const off = provider.onRequest(() => [hold(gate), say("All of them ran at the same time.")]);
  try {
    const ids = await createSessions(server, LIVE);
    await overConnections(server, ids, (connection, id) => sendMessage(connection, id, SAY));
    const listed = await loads(page, `${server.url}/console/sessions`, ".session-row", "Running");
    return [
      times(`console: a list of ${LIVE} sessions that run`, listed, LOAD),
      value("  JavaScript heap", await heapMib(page), "MiB", 1, {}),
    ];
  } finally {
    gate.open();
    off();
  }
}
