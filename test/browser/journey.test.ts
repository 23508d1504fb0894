import { readFile } from "node:fs/promises";
import { call, hold, say } from "@sandbox0/testkit";
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { message, openSession, type TestSession } from "../conformance/fixture/test-session.ts";
import { API_KEY, consoleStage, goTo, MODEL, PHONE, signIn } from "./fixture/console-stage.ts";
import { picture } from "./fixture/pictures.ts";

const stage = consoleStage();

/** Some sixty steps, on a machine that may be busy with other things. */
const JOURNEY_TIMEOUT_MS = 300_000;
const AGENT = "Release writer";
const SYSTEM = "You write release notes.\nPlain words. What changed, for whom, and what to do about it.";
const ENVIRONMENT = "Release tools";
const VAULT = "Issue tracker";
const SECRET = "tracker-token-that-nobody-sees-again";
const STORE = "House style";
const TITLE = "Release notes for 2.4";
const ASK = "Write the release notes for 2.4 from what was merged since 2.3.";
const NOTES = "# Release 2.4\n\n- Sessions fork, with their files\n- Approvals carry a reason\n- Snapshots restore in place\n";
const MERGED_FILE = "merged.csv";
const MERGED = "ticket,title\nSB-1842,Snapshots restore in place\n";
const COMMAND = `cat /mnt/session/uploads/${MERGED_FILE}
cat > /mnt/session/outputs/release-notes.md <<'END'\n${NOTES}END\nwc -l /mnt/session/outputs/release-notes.md`;
const SUMMARY = `The notes are in \`release-notes.md\`:

| change | for whom |
|---|---|
| Sessions fork, with their files | everybody |
| Approvals carry a reason | reviewers |
| Snapshots restore in place | operators |

**SB-1842** is in: it was merged an hour before the tag.`;
const SECOND_ASK = "Now look at each link in it.";

/** The model's part. @returns gates at which it waits in the middle of what it says */
function rehearse() {
  const [watched, first, answered, second] = [stage.gate(), stage.gate(), stage.gate(), stage.gate()];
  stage.whenAsked(
    ASK,
    [
      hold(watched),
      say("I read what was merged, and write the notes to a file."),
      hold(first),
      call("bash", { command: COMMAND }),
    ],
    [say("One ticket is unclear: was it in time for the tag?"), call("find_ticket", { id: "SB-1842" })],
    [hold(answered), say(SUMMARY)],
  );
  stage.whenAsked(SECOND_ASK, [say("Three links; the first one answers."), hold(second)]);
  return { watched, first, answered, second };
}

async function createAgent(page: Page): Promise<void> {
  await goTo(page, "Agents");
  await page.getByText("No agents yet").waitFor();
  await page.getByRole("link", { name: "New agent" }).click();
  await page.getByRole("textbox", { name: "Name", exact: true }).fill(AGENT);
  await page.getByLabel("Model", { exact: true }).fill(MODEL);
  await page.getByLabel("System prompt").fill("You write release notes.");
  await page.getByLabel("Policy of bash").selectOption({ label: "Ask first" });
  await page.getByRole("button", { name: "Add custom tool" }).click();
  const tool = page.getByRole("region", { name: "Custom tool" });
  await tool.getByLabel("Name").fill("find_ticket");
  await tool.getByLabel("Description").fill("Looks a ticket up: what it is about, and when it was merged.");
  await tool.getByLabel("Input schema").fill('{"type":"object","properties":{"id":{"type":"string"}},"required":["id"]}');
  await page.getByRole("button", { name: "Create agent" }).click();
  await page.getByRole("heading", { name: AGENT, level: 1 }).waitFor();

  // A second version, and what it changes.
  await page.getByRole("main").getByRole("link", { name: "Edit" }).click();
  await page.getByLabel("System prompt").fill(SYSTEM);
  await page.getByRole("button", { name: "Save as a new version" }).click();
  await page.getByRole("tab", { name: "Versions" }).click();
  await page.getByLabel("Changes of system prompt").getByText("What changed, for whom").waitFor();
  await picture(page, "agents");
}

async function createEnvironment(page: Page): Promise<void> {
  await goTo(page, "Environments");
  await page.getByRole("link", { name: "New environment" }).click();
  await page.getByRole("textbox", { name: "Name", exact: true }).fill(ENVIRONMENT);
  await page.getByLabel("Where sandboxes may go").selectOption({ label: "Only to the hosts named here" });
  await page.getByLabel("Allowed hosts").fill("tracker.example.com");
  await page.getByRole("button", { name: "Create environment" }).click();
  await page.getByRole("heading", { name: ENVIRONMENT, level: 1 }).waitFor();
  await page.getByText("tracker.example.com").waitFor();
}

async function createVault(page: Page): Promise<void> {
  await goTo(page, "Vaults");
  await page.getByRole("button", { name: "New vault" }).click();
  await page.getByRole("dialog").getByLabel("Name").fill(VAULT);
  await page.getByRole("button", { name: "Create vault" }).click();
  await page.getByRole("heading", { name: VAULT, level: 1 }).waitFor();
  await page.getByRole("button", { name: "Add credential" }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Variable").fill("TRACKER_TOKEN");
  await dialog.getByLabel("Secret").fill(SECRET);
  await dialog.getByLabel("Hosts").fill("tracker.example.com");
  await dialog.getByRole("button", { name: "Add credential" }).click();
  await page.getByRole("region", { name: "Credentials", exact: true }).first().getByText("TRACKER_TOKEN").first().waitFor();
  expect(await page.content(), "the page behind the form").not.toContain(SECRET);
}

/** The store that a session remembers things in. */
async function createStore(page: Page): Promise<void> {
  await goTo(page, "Memory");
  await page.getByRole("button", { name: "New store" }).first().click();
  await page.getByRole("dialog").getByLabel("Name").fill(STORE);
  await page.getByRole("dialog").getByRole("button", { name: "Create store" }).click();
  await page.getByRole("heading", { name: STORE, level: 1 }).waitFor();
}

/** Uploads a file for the session, gives it a store to read, and a repository that is none, which is refused. */
async function giveResources(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Choose files…" }).click();
  const dialog = page.getByRole("dialog", { name: "Choose files" });
  await dialog
    .getByLabel("Upload files")
    .last()
    .setInputFiles({ name: MERGED_FILE, mimeType: "text/csv", buffer: Buffer.from(MERGED) });
  await dialog.getByRole("checkbox", { name: MERGED_FILE, checked: true }).waitFor();
  await dialog.getByRole("button", { name: "Use 1 file" }).click();
  const path = page.getByRole("textbox", { name: `Path of ${MERGED_FILE}` });
  // Whoever works with a keyboard goes on where the file is.
  await path.and(page.locator(":focus")).waitFor();
  await path.fill("../../etc/passwd");
  await page.getByRole("checkbox", { name: STORE }).check();
  await page.getByLabel(`Access to ${STORE}`).selectOption({ label: "Reads only" });
  await page.getByLabel(`Instructions for ${STORE}`).fill("How we write.");
  await page.getByRole("button", { name: "Add repository" }).click();
  const repository = page.getByRole("region", { name: "Repository 1" });
  await repository.getByLabel("Access token").fill(SECRET);
}

/** What the server refuses is said at the fields it is about, and is put right there. */
async function mendResources(page: Page): Promise<void> {
  const path = page.getByRole("textbox", { name: `Path of ${MERGED_FILE}` });
  const url = page.getByRole("region", { name: "Repository 1" }).getByRole("textbox", { name: "URL" });
  await expect.poll(() => url.getAttribute("aria-invalid"), { timeout: 60_000 }).toBe("true");
  await page.getByRole("button", { name: "Remove repository 1" }).click();
  await page.getByRole("button", { name: "Start session" }).click();
  await expect.poll(() => path.getAttribute("aria-invalid"), { timeout: 60_000 }).toBe("true");
  await path.fill(MERGED_FILE);
}

/** @returns the session that the page shows then */
async function startSession(page: Page): Promise<TestSession> {
  await goTo(page, "Sessions");
  await page.getByRole("link", { name: "New session" }).click();
  // The list of sessions has a field of this name, too, and is there until the form is.
  await page.getByRole("heading", { name: "New session", level: 1 }).waitFor();
  await page.getByLabel("Agent", { exact: true }).selectOption({ label: AGENT });
  await page.getByLabel("Environment").selectOption({ label: ENVIRONMENT });
  await page.getByRole("checkbox", { name: VAULT }).check();
  await page.getByLabel("Title").fill(TITLE);
  await page.getByLabel("First message").fill(ASK);
  await giveResources(page);
  await page.getByRole("button", { name: "Start session" }).click();
  await mendResources(page);
  await page.getByRole("button", { name: "Start session" }).click();
  await page.getByRole("heading", { name: TITLE, level: 1 }).waitFor();
  const id = new URL(page.url()).pathname.split("/").at(-1) ?? "";
  return openSession(stage.client, await stage.client.beta.sessions.retrieve(id), () => undefined);
}

test(
  "a person makes what a session needs, starts it, steers it, reads what it did and forks it",
  async () => {
    const watched = await stage.open("/", { signedIn: false });
    const { page } = watched;
    const gates = rehearse();
    await signIn(page, API_KEY);
    await page.getByText("Nothing waits for you.").waitFor();
    await createAgent(page);
    await createEnvironment(page);
    await createVault(page);
    await createStore(page);
    watched.expectFault(/status of 400/);
    const session = await startSession(page);
    expect(session.created).toMatchObject({
      title: TITLE,
      vault_ids: [expect.stringMatching(/^vlt_/)],
      resources: [
        { type: "file", mount_path: `/mnt/session/uploads/${MERGED_FILE}` },
        { type: "memory_store", name: STORE, access: "read_only", instructions: "How we write." },
      ],
    });

    await watchLive(page, session, gates);
    await approve(page, session);
    await answer(page, session, gates.answered);
    await picture(page, "session");
    await page.emulateMedia({ colorScheme: "dark" });
    await picture(page, "session-dark");
    await page.emulateMedia({ colorScheme: "light" });
    await interrupt(page, session, gates.second);
    await readTimeline(page);
    await download(page);
    await changeFiles(page, session);
    await readUsage(page);
    await fork(page, session);
  },
  JOURNEY_TIMEOUT_MS,
);

/** What the model says is on the page while it says it; who comes later sees the message when it is complete. */
async function watchLive(page: Page, session: TestSession, { watched, first }: ReturnType<typeof rehearse>): Promise<void> {
  await page.locator('[data-connection="live"]').waitFor();
  watched.open();
  await page.getByRole("article", { name: "Agent, writing…" }).getByText("I read what was merged").waitFor();
  await page.getByRole("button", { name: "Interrupt" }).waitFor();
  const late = (await stage.open(`/sessions/${session.id}`)).page;
  await late.getByText("Working…").waitFor();
  first.open();
  await late.getByRole("article", { name: "Agent", exact: true }).getByText("I read what was merged").waitFor();
  await late.getByText("Working…").waitFor({ state: "detached" });
  await late.close();
}

async function approve(page: Page, session: TestSession): Promise<void> {
  const asked = page.getByRole("region", { name: "Approve bash" });
  await asked.getByText("release-notes.md").first().waitFor();
  await asked.getByRole("button", { name: "Allow" }).click();
  await asked.waitFor({ state: "detached" });
  const tool = page.getByRole("article", { name: "Tool call bash" });
  await tool.getByText("Done").waitFor();
  await tool.getByRole("button", { expanded: false }).click();
  await tool.getByText("SB-1842,Snapshots restore in place").waitFor();
  await tool.getByText(/\d+ \/mnt\/session\/outputs\/release-notes\.md/).waitFor();
  expect(await session.events()).toContainEqual(expect.objectContaining({ type: "user.tool_confirmation", result: "allow" }));
}

async function answer(page: Page, session: TestSession, answered: ReturnType<typeof rehearse>["answered"]): Promise<void> {
  const asked = page.getByRole("region", { name: "Answer find_ticket" });
  await asked.getByText("SB-1842").waitFor();
  await asked.getByRole("textbox", { name: "Result of find_ticket" }).fill("Merged at 11:02, an hour before the tag.");
  await asked.getByRole("button", { name: "Send result" }).click();
  await answered.reached;
  await page.getByText("Working…").waitFor();
  answered.open();
  await page.getByRole("article", { name: "Agent", exact: true }).getByText("an hour before the tag").waitFor();
  await page.getByRole("cell", { name: "reviewers" }).waitFor();
  expect(await session.rest()).toContainEqual(
    expect.objectContaining({
      type: "user.custom_tool_result",
      content: [{ type: "text", text: "Merged at 11:02, an hour before the tag." }],
    }),
  );
}

async function interrupt(page: Page, session: TestSession, gate: { reached: Promise<unknown> }): Promise<void> {
  await page.getByRole("textbox", { name: "Message" }).fill(SECOND_ASK);
  await page.keyboard.press("Enter");
  await gate.reached;
  await page.getByRole("article", { name: "Agent, writing…" }).waitFor();
  await page.getByRole("button", { name: "Interrupt" }).click();
  await page.getByRole("button", { name: "Interrupt" }).waitFor({ state: "detached" });
  expect(await session.rest()).toContainEqual(expect.objectContaining({ type: "user.interrupt" }));
}

async function toView(page: Page, name: string): Promise<void> {
  await page.getByRole("navigation", { name: "Views of the session" }).getByRole("link", { name, exact: true }).click();
}

async function readTimeline(page: Page): Promise<void> {
  await toView(page, "Timeline");
  const spans = page.getByRole("region", { name: "Timeline" }).getByRole("button");
  await spans.filter({ hasText: "bash" }).click();
  const details = page.getByRole("complementary", { name: "Span details" });
  await details.getByText("tool call").waitFor();
  await picture(page, "timeline");
  await page.getByRole("button", { name: "Zoom in" }).click();
  await page.getByRole("button", { name: "Show all" }).click();
  await details.getByRole("button", { name: "Close details" }).click();
  expect(await spans.filter({ hasText: MODEL }).count()).toBeGreaterThanOrEqual(4);

  await toView(page, "Events");
  await page.getByRole("combobox", { name: "Events shown" }).selectOption({ label: "Approvals and answers" });
  await page
    .getByRole("region", { name: "Events" })
    .getByRole("button", { name: /user\.tool_confirmation/ })
    .click();
  await page.getByRole("complementary", { name: "Event details" }).getByText('"result": "allow"').waitFor();
}

async function download(page: Page): Promise<void> {
  await toView(page, "Files");
  const [file] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("button", { name: "Download release-notes.md" }).click(),
  ]);
  expect(file.suggestedFilename()).toBe("release-notes.md");
  expect(await readFile(await file.path(), "utf8")).toBe(NOTES);
}

/** One more file is added to the session, and the first one taken from it. */
async function changeFiles(page: Page, session: TestSession): Promise<void> {
  const paths = async () => {
    const { resources } = await stage.client.beta.sessions.retrieve(session.id);
    return resources.flatMap((each) => (each.type === "file" ? [each.mount_path] : []));
  };
  const mounted = page.getByRole("region", { name: "Mounted resources" }).first();
  await mounted.getByRole("button", { name: "Add files…" }).click();
  const dialog = page.getByRole("dialog", { name: "Add files" });
  await dialog.getByRole("checkbox", { name: MERGED_FILE }).check();
  await dialog.getByRole("textbox", { name: `Path of ${MERGED_FILE}` }).fill("again/merged.csv");
  await dialog.getByRole("button", { name: "Add 1 file" }).click();
  const added = mounted.getByRole("row", { name: "/mnt/session/uploads/again/merged.csv" });
  await added.waitFor();
  expect(await paths()).toEqual([`/mnt/session/uploads/${MERGED_FILE}`, "/mnt/session/uploads/again/merged.csv"]);
  await added.getByRole("button", { name: /^Remove/ }).click();
  await page.getByRole("button", { name: "Remove file" }).click();
  await added.waitFor({ state: "detached" });
  expect(await paths()).toEqual([`/mnt/session/uploads/${MERGED_FILE}`]);
}

async function readUsage(page: Page): Promise<void> {
  await toView(page, "Usage & setup");
  await page.getByText("Input tokens").waitFor();
  await page.getByRole("region", { name: "Setup" }).getByText("version 2").waitFor();
}

/** The fork has the conversation; what is said in it is not said in the session. */
async function fork(page: Page, session: TestSession): Promise<void> {
  await page.getByRole("button", { name: "Fork", exact: true }).click();
  await page.getByRole("dialog").getByLabel("Title of the fork").fill("Release notes, shorter");
  await page.getByRole("button", { name: "Fork session" }).click();
  await page.getByRole("heading", { name: "Release notes, shorter", level: 1 }).waitFor();
  await page.getByRole("article", { name: "Agent", exact: true }).getByText("an hour before the tag").waitFor();
  const before = await session.events();
  stage.whenAsked("Make it shorter.", say("Two lines are left."));
  await page.getByRole("textbox", { name: "Message" }).fill("Make it shorter.");
  await page.getByRole("button", { name: "Send" }).click();
  await page.getByText("Two lines are left.").waitFor();
  expect(await session.events()).toEqual(before);
}

/** Sessions that a person finds at the start of a day. */
async function morning(): Promise<void> {
  const bash = {
    type: "agent_toolset_20260401" as const,
    default_config: { permission_policy: { type: "always_ask" as const } },
  };
  const input_schema = { type: "object" as const, properties: { question: { type: "string" } } };
  const ask = { type: "custom" as const, name: "ask_owner", description: "Asks the owner of the service.", input_schema };
  const keeper = await stage.client.beta.agents.create({ name: "Dependency keeper", model: MODEL, tools: [bash, ask] });
  const start = async (title: string, ...steps: Parameters<typeof stage.whenAsked>[1][]): Promise<TestSession> => {
    stage.whenAsked(title, ...steps);
    const params = { agent: keeper.id, environment_id: stage.server.environmentId, title };
    const session = openSession(stage.client, await stage.client.beta.sessions.create(params), () => undefined);
    await session.send(message(title));
    return session;
  };
  const waiting = [
    await start("Update the lockfile", call("bash", { command: "npm update && npm audit --omit=dev" })),
    await start("Retire the old queue", call("ask_owner", { question: "May the queue be drained on Thursday?" })),
  ];
  for (const title of ["Migrate the billing tests", "Nightly dependency check"]) {
    const gate = stage.gate();
    await start(title, [say("At it."), hold(gate)]);
    await gate.reached;
  }
  for (const session of waiting) await session.rest();
}

test("the home page has what needs a person first, what runs behind it; on a phone, too", async () => {
  await morning();
  const { page } = await stage.open("/");
  await page.getByRole("region", { name: "Needs you" }).getByRole("article", { name: "Session Update the lockfile" }).waitFor();
  await page.getByRole("region", { name: "Needs you" }).getByRole("region", { name: "Answer ask_owner" }).waitFor();
  await page
    .getByRole("region", { name: "Running", exact: true })
    .getByRole("link", { name: "Migrate the billing tests" })
    .waitFor();
  await picture(page, "home");

  const phone = (await stage.open("/", { viewport: PHONE })).page;
  await phone.getByRole("article", { name: "Session Retire the old queue" }).waitFor();
  const width = await phone.evaluate<number>("document.documentElement.scrollWidth");
  expect(width, "nothing is wider than the phone").toBeLessThanOrEqual(PHONE.width);
  await picture(phone, "phone");
  await phone.getByRole("region", { name: "Answer ask_owner" }).getByRole("textbox").fill("On Thursday, after ten.");
  await phone.getByRole("button", { name: "Send result" }).click();
  await phone.getByRole("article", { name: "Session Retire the old queue" }).waitFor({ state: "detached" });
});
