import { attackFixture, requestsIn } from "./attack-fixture.ts";
import { createCanaries } from "./canaries.ts";
import { GITHUB, type Repositories, writeAccess, writeRepository } from "./github-site.ts";
import type { HostileOptions, HostileSession } from "./hostile-session.ts";
import { stagePath } from "./namespace.ts";
import type { ReachedHttp } from "./records.ts";
import { EVIL } from "./zones.ts";

/** For a command that speaks to the pretend GitHub. */
export const GIT_TIMEOUT_MS = 90_000;
/** A network that allows another host than GitHub. */
export const LIMITED = { type: "limited" as const, allowed_hosts: ["evil.io"] };
const SKILL = "---\nname: greet\ndescription: Greets people\n---\nSay hello.\n";

export type Repository = Extract<NonNullable<HostileOptions["resources"]>[number], { type: "github_repository" }>;

export interface RepositoryErrorShown {
  type: string;
  repository_url: string | null;
  message: string;
  retry_status: { type: string };
}

/** One server in a pretend Internet with a GitHub, for the tests of a file. */
export function githubStage() {
  const canaries = createCanaries();
  const token = { write: canaries.make("Write"), read: canaries.make("Read"), wrong: canaries.make("Wrong") };
  const access: Repositories = {
    "acme/app": { tokens: { [token.write]: "write", [token.read]: "read" } },
    "acme/other": { tokens: { [token.write]: "write" } },
    "acme/closed": { tokens: { [token.write]: "forbidden" } },
    "acme/moved": { movedTo: "acme/other", tokens: { [token.write]: "write" } },
    "acme/broken": { status: 500, tokens: { [token.write]: "write" } },
    "acme/empty": { public: true },
    "acme/public": { public: true },
  };
  const fixture = attackFixture(
    { [GITHUB]: { addresses: ["140.82.121.4"] }, "evil.io": { addresses: [EVIL.v4] } },
    { prepare: ({ dir }) => writeAll(stagePath(dir, "github"), access) },
  );
  const dir = (): string => stagePath(fixture.stage.dir, "github");
  return {
    fixture,
    canaries,
    token,
    access,
    /** Where its repositories are. */
    dir,
    /** Its rules from now on: the first ones, with these in their place. */
    allow: (more: Repositories = {}): Promise<void> => writeAccess(dir(), { ...access, ...more }),
    /** As a resource; with the token that may write, unless told otherwise. */
    repository: (name: string, more: Partial<Repository> = {}): Repository => ({
      type: "github_repository",
      url: `https://${GITHUB}/${name}`,
      authorization_token: token.write,
      ...more,
    }),
    sessionWith: (...resources: Repository[]): Promise<HostileSession> => fixture.session({ networking: LIMITED, resources }),
    /** Gives the session's only repository another token. */
    async rotate(sessionId: string, authorization_token: string): Promise<void> {
      const { resources } = fixture.server.client.beta.sessions;
      const { data } = await resources.list(sessionId);
      const [id = ""] = data.flatMap((each) => (each.type === "github_repository" ? [each.id] : []));
      await resources.update(id, { session_id: sessionId, authorization_token });
    },
    async requests(): Promise<ReachedHttp[]> {
      return requestsIn(await fixture.reached()).filter(({ host }) => host === GITHUB);
    },
    /** How many mirrors the server has. They are made in the background, and speak to GitHub meanwhile. */
    async mirrors(): Promise<number> {
      const { dataDir, inside } = fixture.stage;
      return Number(await inside.run("sh", ["-c", `ls -d ${dataDir}/sandbox/repositories/*/[0-9a-f]* 2>/dev/null | wc -l`]));
    },
    /** The last model request, with its system prompt. */
    lastModelRequest: (): string => JSON.stringify(fixture.stage.provider.requests.at(-1)?.body),
  };
}

export function errorsOf({ stream }: HostileSession): RepositoryErrorShown[] {
  return stream.received.flatMap((event) => (event.type === "session.error" ? [event.error as RepositoryErrorShown] : []));
}

async function writeAll(dir: string, access: Repositories): Promise<void> {
  await writeRepository(dir, "acme/app", {
    main: { "README.md": "hello from main\n", ".claude/skills/greet/SKILL.md": SKILL },
    "feature/x": { "README.md": "hello from a feature\n" },
  });
  await writeRepository(dir, "acme/other", { main: { secret: "of another repository\n" } });
  await writeRepository(dir, "acme/public", { trunk: { "README.md": "hello, everybody\n" } });
  await writeRepository(dir, "acme/empty", {});
  await writeAccess(dir, access);
}
