import { createHash, randomBytes } from "node:crypto";

/** What an authorization server gave a client for a user who agreed. */
export interface Grant {
  accessToken: string;
  refreshToken: string;
  expiresInSeconds: number;
}

export interface AuthorizationRequest {
  issuer: string;
  client: { id: string; secret: string };
  scope: string;
  resource: string;
  redirectUri: string;
}

const STEPS_MAX = 20;

/** A user with a browser: logs in and agrees, whatever form is shown; then the client takes its code to the token endpoint. */
export async function authorize({ issuer, client, scope, resource, redirectUri }: AuthorizationRequest): Promise<Grant> {
  const verifier = randomBytes(32).toString("base64url");
  const asked = new URLSearchParams({
    ...{ client_id: client.id, response_type: "code", redirect_uri: redirectUri, scope, resource, prompt: "consent" },
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
  const code = await followTo(`${issuer}/auth?${asked}`, redirectUri);
  const response = await fetch(`${issuer}/token`, {
    method: "POST",
    headers: { authorization: `Basic ${Buffer.from(`${client.id}:${client.secret}`).toString("base64")}` },
    body: new URLSearchParams({
      ...{ grant_type: "authorization_code", code, redirect_uri: redirectUri, resource },
      code_verifier: verifier,
    }),
  });
  const answer = (await response.json()) as { access_token: string; refresh_token: string; expires_in: number };
  if (!response.ok) throw new Error(`no tokens: ${JSON.stringify(answer)}`);
  return { accessToken: answer.access_token, refreshToken: answer.refresh_token, expiresInSeconds: answer.expires_in };
}

/** Follows redirects and sends forms until it is led back to the client. @returns the code */
async function followTo(start: string, redirectUri: string): Promise<string> {
  const cookies = new Map<string, string>();
  let [url, form]: [string, URLSearchParams | null] = [start, null];
  for (let step = 0; step < STEPS_MAX; step += 1) {
    const response: Response = await fetch(url, {
      redirect: "manual",
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") },
      ...(form === null ? {} : { method: "POST", body: form }),
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      cookies.set(name, value);
    }
    const location = response.headers.get("location");
    const page = await response.text();
    if (location !== null) {
      const next = new URL(location, url);
      const code = next.href.startsWith(redirectUri) ? next.searchParams.get("code") : null;
      if (code !== null) return code;
      [url, form] = [next.href, null];
    } else {
      const action = /<form[^>]* action="([^"]+)"/.exec(page)?.[1];
      const prompt = /name="prompt" value="(\w+)"/.exec(page)?.[1];
      if (action === undefined || prompt === undefined) throw new Error(`no form in: ${page.slice(0, 500)}`);
      url = new URL(action, url).href;
      form = new URLSearchParams(prompt === "login" ? { prompt, login: "user", password: "any" } : { prompt });
    }
  }
  throw new Error("the authorization server leads nowhere");
}
