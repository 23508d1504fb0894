import { call, fail, say } from "@sandbox0/testkit";
import { readFile } from "node:fs/promises";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { message, openSession, type TestSession } from "../conformance/fixture/test-session.ts";
import { consoleStage, goTo, MODEL } from "./fixture/console-stage.ts";
import { BIDI, ENDLESS, hostileMarkdown, hostileName, TERMINAL } from "./fixture/hostile-texts.ts";
import { startThirdParty, type ThirdParty } from "./fixture/third-party.ts";

const stage = consoleStage();
const MIB = 1024 ** 2;
const LINE = `${"x".repeat(10 * MIB)}END`;
/** Pieces in which the model says it. */
const LINE_CHUNK = 256 * 1024;

let there: ThirdParty;
beforeAll(async () => {
  there = await startThirdParty();
});
afterAll(() => there.close());
afterEach(() => {
  expect(there.connections, "connections to another server").toBe(0);
});

interface SessionOptions {
  title?: string;
  agent?: string;
  steps: Parameters<typeof stage.whenAsked>[1][];
}

/** A session in which a person asks `ask`, at rest. */
async function played(ask: string, { title = ask, agent = "agent", steps }: SessionOptions): Promise<TestSession> {
  stage.whenAsked(ask, ...steps);
  const tools = [{ type: "agent_toolset_20260401" as const }];
  const { id } = await stage.client.beta.agents.create({ name: agent, model: MODEL, tools });
  const params = { agent: id, environment_id: stage.server.environmentId, title };
  const session = openSession(stage.client, await stage.client.beta.sessions.create(params), () => undefined);
  await session.send(message(ask));
  await session.rest();
  return session;
}

/** Whatever was said, the document has only what the console makes. */
async function expectHarmless(page: Page): Promise<void> {
  expect(await page.evaluate("window.pwned"), "a script ran").toBeUndefined();
  const made = await page.evaluate<Record<string, string[]>>(`(() => {
    const all = (selector, read) => [...document.querySelectorAll(selector)].map(read);
    return {
      embedded: all("iframe, object, embed, style, base, meta[http-equiv], form input[name=api-key], math, details", (e) => e.outerHTML),
      scripts: all("script", (e) => e.src).filter((src) => !src.startsWith(location.origin + "/console/assets/")),
      handlers: all("*", (e) => [...e.attributes].filter((a) => a.name.startsWith("on")).map((a) => a.name)).flat(),
      images: all("img, image", (e) => e.src ?? e.href.baseVal).filter((src) => !/^data:image\\/(png|jpeg|gif|webp);/.test(src)),
      links: all("a[href]", (e) => e.href).filter((href) => !/^(https?|mailto):/.test(href)),
      away: all("a[href]", (e) => e)
        .filter((e) => e.origin !== location.origin && !(e.rel.includes("noopener") && e.rel.includes("noreferrer") && e.target === "_blank"))
        .map((e) => e.outerHTML),
      invisible: (document.body.innerText.match(/[\\u0000-\\u0008\\u001b\\u200b\\u202a-\\u202e\\u2066-\\u2069]/g) ?? []).map(escape),
    };
  })()`);
  expect(made).toEqual({ embedded: [], scripts: [], handlers: [], images: [], links: [], away: [], invisible: [] });
}

async function toView(page: Page, name: string): Promise<void> {
  await page.getByRole("navigation", { name: "Views of the session" }).getByRole("link", { name, exact: true }).click();
}

test("what an agent and a tool say is text: no script, no element, no address of theirs does anything", async () => {
  const text = hostileMarkdown(there.url);
  const print = `cat <<'END'\n${text.replaceAll("\u0000", "")}\nEND`;
  const session = await played("hostile words", { steps: [call("bash", { command: print }), say(text)] });
  await played("hostile error", { steps: [fail(400, { message: text })] });
  const { page } = await stage.open(`/sessions/${session.id}`);
  const said = page.getByRole("article", { name: "Agent", exact: true });
  await said.getByText('<script>window.pwned = "script"; alert("script")</script>').waitFor();
  await said.getByText("Harmless words after.").waitFor();
  await expectHarmless(page);
  await said.getByRole("link", { name: "good" }).waitFor();
  expect(await said.getByText("bank.example").textContent(), "a link says where it leads").toBeTruthy();
  await said.getByText(new URL(there.url).host).first().waitFor();
  for (const mark of ["right-to-left override", "zero-width space"])
    await said.getByRole("img", { name: mark }).first().waitFor();
  expect(await said.textContent()).toContain("red words");
  expect(await said.textContent()).not.toMatch(/\[31m|\]0;title|52;c/);

  await page.getByRole("article", { name: "Tool call bash" }).getByRole("button", { expanded: false }).click();
  await page.getByRole("figure", { name: "Output" }).getByText("<iframe").waitFor();
  await expectHarmless(page);
  await toView(page, "Events");
  await page
    .getByRole("region", { name: "Events" })
    .getByRole("button", { name: /agent\.message/ })
    .click();
  await page.getByRole("complementary", { name: "Event details" }).getByText("onerror").first().waitFor();
  await expectHarmless(page);
  await toView(page, "Timeline");
  await page.getByRole("region", { name: "Timeline" }).getByRole("button").filter({ hasText: "bash" }).click();
  await expectHarmless(page);
  await goTo(page, "Sessions");
  await page.getByRole("link", { name: "hostile error" }).click();
  await page.getByText("window.pwned = 'onerror'").first().waitFor();
  await expectHarmless(page);
});

test("names are text as well: of agents, sessions, environments, vaults and files, on every page that shows them", async () => {
  const { client } = stage;
  await client.beta.environments.create({
    name: hostileName("environment"),
    description: hostileMarkdown(there.url).slice(0, 1_000),
  });
  await client.beta.vaults.create({ display_name: hostileName("vault") });
  const file = `${hostileName("file").replaceAll("/", "")}.html`;
  const write = call("write", { file_path: `/mnt/session/outputs/${file}`, content: "<script>alert(1)</script>" });
  const session = await played("hostile names", {
    title: hostileName("title"),
    agent: hostileName("agent"),
    steps: [write, say("Written.")],
  });

  const { page } = await stage.open(`/sessions/${session.id}`);
  await page.getByRole("heading", { level: 1 }).getByRole("img", { name: "right-to-left override" }).waitFor();
  await expectHarmless(page);
  await toView(page, "Files");
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: /^Download file/ }).click(),
  ]);
  expect(download.suggestedFilename()).not.toMatch(/[<>/\\]/);
  expect(await readFile(await download.path(), "utf8")).toBe("<script>alert(1)</script>");
  await expectHarmless(page);
  await toView(page, "Usage & setup");
  await page.getByText(`agent <img src=x`).waitFor();
  await expectHarmless(page);
  for (const link of await page.getByRole("navigation", { name: "Main" }).getByRole("link").all()) {
    await link.click();
    await page.waitForLoadState("networkidle");
    await expectHarmless(page);
  }
  for (const [list, what] of [
    ["Agents", "agent"],
    ["Environments", "environment"],
    ["Vaults", "vault"],
  ] as const) {
    await goTo(page, list);
    await page.getByRole("link", { name: `${what} <img` }).click();
    await page.getByRole("heading", { level: 1 }).getByText(`${what} <img`).waitFor();
    await expectHarmless(page);
  }
});

test("a line of 10 MB is shown in part, the page stays usable, and all of it can be had", async () => {
  const step = say(LINE, { chunkChars: LINE_CHUNK });
  const session = await played("a long line", { steps: [step] });
  stage.whenAsked("Still there?", say("Still here."));
  const { page } = await stage.open(`/sessions/${session.id}`);
  const said = page.getByRole("article", { name: "Agent", exact: true });
  await said.getByText(/more characters/).waitFor();
  expect(((await said.textContent()) ?? "").length).toBeLessThan(20_000);
  const [download] = await Promise.all([page.waitForEvent("download"), said.getByRole("button", { name: "Download" }).click()]);
  expect((await readFile(await download.path(), "utf8")) === LINE, "the whole line").toBe(true);
  await said.getByRole("button", { name: "Show more" }).click();
  await page.getByRole("textbox", { name: "Message" }).fill("Still there?");
  await page.getByRole("button", { name: "Send" }).click();
  await page.getByText("Still here.").waitFor();
  await toView(page, "Events");
  await page
    .getByRole("region", { name: "Events" })
    .getByRole("button", { name: /agent\.message/ })
    .first()
    .click();
  await page
    .getByRole("complementary", { name: "Event details" })
    .getByText(/more characters/)
    .waitFor();
});

test("markdown without end neither stops the page nor breaks it", async () => {
  const session = await played("without end", { steps: [say(`${TERMINAL} ${BIDI}`)] });
  const { page } = await stage.open(`/sessions/${session.id}`);
  for (const [name, text] of Object.entries(ENDLESS)) {
    const ask = `Show me ${name}.`;
    stage.whenAsked(ask, say(`${text}\n\nThe end of ${name}.`, { chunkChars: LINE_CHUNK }));
    await page.getByRole("textbox", { name: "Message" }).fill(ask);
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByRole("article", { name: "You" }).getByText(ask).waitFor();
    const log = await session.until((events) => JSON.stringify(events.slice(-6)).includes(`The end of ${name}.`));
    expect(log.length).toBeGreaterThan(0);
    await page.getByRole("button", { name: "Interrupt" }).waitFor({ state: "detached" });
    await page.getByRole("article", { name: "Agent", exact: true }).last().waitFor();
    await expectHarmless(page);
  }
});
