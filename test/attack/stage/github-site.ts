import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { answerWithGit } from "./git-site.ts";
import type { Site } from "./web-servers.ts";

export const GITHUB = "github.com";
const GIT_PATH = /^\/([\w.-]+\/[\w.-]+?)(?:\.git)?(\/(?:info\/refs|git-upload-pack|git-receive-pack))$/;

/** What the pretend GitHub does with a repository, by `owner/name`. */
export interface Repositories {
  [name: string]: {
    /** Read by anybody. */
    public?: boolean;
    /** By token. `forbidden`: known, and refused. */
    tokens?: Record<string, "read" | "write" | "forbidden">;
    /** Another `owner/name`. */
    movedTo?: string;
    /** Every request is answered so. */
    status?: number;
    /** What is fetched never comes. */
    stuck?: boolean;
  };
}

/** Git over https as GitHub has it, of the repositories `<dir>/<owner>/<name>.git`; `access.json` is read at each request. */
export function createGithubSite(dir: string): Site {
  return async (request, response, body) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://pretend");
    const [, name = "", rest = ""] = GIT_PATH.exec(pathname) ?? [];
    if (request.headers.host?.replace(/:\d+$/, "") !== GITHUB || name === "") return false;
    const all = JSON.parse(await readFile(accessFile(dir), "utf8")) as Repositories;
    const repository = all[name];
    const token = passwordOf(request.headers.authorization);
    const isKnown = token !== null && Object.values(all).some(({ tokens = {} }) => token in tokens);
    const access = token === null ? undefined : repository?.tokens?.[token];
    const isPush = searchParams.get("service") === "git-receive-pack" || rest === "/git-receive-pack";
    // An upstream that shows what it was sent.
    response.setHeader("x-echo", request.headers.authorization ?? "none");
    const answer = (status: number): void => {
      const challenge: Record<string, string> = status === 401 ? { "www-authenticate": 'Basic realm="GitHub"' } : {};
      response.writeHead(status, challenge).end(`remote: ${status} for ${request.headers.authorization ?? "nobody"}\n`);
    };
    if (token !== null && !isKnown) answer(401);
    else if (repository?.status !== undefined) answer(repository.status);
    else if (access === "forbidden") answer(403);
    else if (repository?.movedTo !== undefined) {
      const location = `https://${GITHUB}/${repository.movedTo}${rest}${searchParams.size > 0 ? `?${searchParams}` : ""}`;
      response.writeHead(301, { location }).end();
    } else if (access === undefined && !(repository?.public === true && !isPush)) answer(token === null ? 401 : 404);
    else if (isPush && access !== "write") answer(403);
    else if (repository?.stuck === true && body.includes("command=fetch")) response.writeHead(200).flushHeaders();
    else if (!existsSync(join(dir, `${name}.git`))) answer(404);
    else await answerWithGit(request, response, body, { root: dir, path: `/${name}.git${rest}`, user: token && "somebody" });
    return true;
  };
}

function passwordOf(authorization: string | undefined): string | null {
  const basic = /^Basic (.*)$/.exec(authorization ?? "")?.[1];
  return basic === undefined ? null : Buffer.from(basic, "base64").toString().split(":").slice(1).join(":");
}

const accessFile = (dir: string): string => join(dir, "access.json");

/** Whole or not at all: the site may read it at any time. */
export async function writeAccess(dir: string, repositories: Repositories): Promise<void> {
  const part = `${accessFile(dir)}.part`;
  await writeFile(part, JSON.stringify(repositories));
  await rename(part, accessFile(dir));
}

const run = promisify(execFile);
/** The user's own settings of git have no say. */
const GIT_ENV = {
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_AUTHOR_NAME: "t",
  GIT_AUTHOR_EMAIL: "t@t.test",
  GIT_COMMITTER_NAME: "t",
  GIT_COMMITTER_EMAIL: "t@t.test",
};

/** Runs git on a repository of the pretend GitHub. @returns what it printed, trimmed */
export async function gitAt(dir: string, name: string, ...args: string[]): Promise<string> {
  const { stdout } = await run("git", ["-C", join(dir, `${name}.git`), ...args], { env: { ...process.env, ...GIT_ENV } });
  return stdout.trim();
}

/**
 * Makes a repository with a branch for each list of files, the first one its default; every branch is one commit behind the
 * first one's. Without branches it is empty.
 */
export async function writeRepository(
  dir: string,
  name: string,
  branches: Record<string, Record<string, string>>,
): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), "sandbox0-github-"));
  const git = (...args: string[]) => run("git", ["-C", work, ...args], { env: { ...process.env, ...GIT_ENV } });
  try {
    const [first = "main"] = Object.keys(branches);
    await git("init", "--quiet", `--initial-branch=${first}`);
    for (const [branch, files] of Object.entries(branches)) {
      if (branch !== first) await git("checkout", "--quiet", "-b", branch, first);
      for (const [path, content] of Object.entries(files)) {
        await mkdir(join(work, path, ".."), { recursive: true });
        await writeFile(join(work, path), content);
      }
      await git("add", "--all");
      await git("commit", "--quiet", "--message", `the first of ${branch}`);
    }
    if (Object.keys(branches).length > 0) await git("checkout", "--quiet", first);
    await mkdir(join(dir, name, ".."), { recursive: true });
    await git("clone", "--quiet", "--bare", work, join(dir, `${name}.git`));
    // As GitHub allows it: any commit may be asked for by its hash.
    await gitAt(dir, name, "config", "uploadpack.allowAnySHA1InWant", "true");
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
