import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, request as httpRequest, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Configuration } from "oidc-provider";
import { startEverythingServer } from "./everything.ts";
import { authorize, type Grant } from "./oauth-user.ts";

export interface OAuthMcpServerOptions {
  accessTokenSeconds: number;
}

/**
 * Two programs as they come from npm: `oidc-provider` is the authorization server, the reference "everything" server the MCP
 * server. Between them stands what RFC 9728 and RFC 6750 ask of a protected resource: it asks the authorization server
 * (RFC 7662) whether a token is good.
 */
export interface OAuthMcpServer {
  /** `http://127.0.0.1:<port>/mcp` */
  readonly url: string;
  readonly tokenEndpoint: string;
  readonly client: { id: string; secret: string };
  /** Access tokens that a request was let in with, each once, in order. */
  readonly accepted: readonly string[];
  /** Requests that were refused for their token. */
  readonly refused: number;
  /** Answers of the token endpoint: the grant that was asked for, and the status. */
  readonly tokenRequests: readonly { grantType: string; status: number }[];
  /** A user logs in, and consents: tokens by an authorization code with PKCE. */
  grant(): Promise<Grant>;
  /** As the authorization server says now. */
  isActive(accessToken: string): Promise<boolean>;
  close(): Promise<void>;
}

const SCOPE = "openid offline_access mcp";
const REDIRECT_URI = "https://client.example.com/callback";

export async function startOAuthMcpServer(options: OAuthMcpServerOptions): Promise<OAuthMcpServer> {
  const everything = await startEverythingServer();
  const client = { id: "sandbox0", secret: randomBytes(24).toString("base64url") };
  const gate = { id: "mcp-server", secret: randomBytes(24).toString("base64url") };
  const state = { accepted: new Set<string>(), refused: 0 };
  const front = createServer();
  const url = `${await listen(front)}/mcp`;
  const { issuer, tokenRequests, close } = await startAuthorizationServer({ client, gate, resource: url, ...options });
  const isActive = async (token: string): Promise<boolean> => {
    const headers = { authorization: `Basic ${Buffer.from(`${gate.id}:${gate.secret}`).toString("base64")}` };
    const response = await fetch(`${issuer}/token/introspection`, {
      method: "POST",
      headers,
      body: new URLSearchParams({ token }),
    });
    const { active, aud } = (await response.json()) as { active: boolean; aud?: string };
    return active && aud === url;
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const token = /^Bearer (\S+)$/.exec(request.headers.authorization ?? "")?.[1];
    if (token !== undefined && (await isActive(token))) {
      state.accepted.add(token);
      return forward(request, response, everything.url);
    }
    state.refused += 1;
    const metadata = `resource_metadata="${new URL("/.well-known/oauth-protected-resource/mcp", url)}"`;
    const challenge = token === undefined ? `Bearer ${metadata}` : `Bearer error="invalid_token", ${metadata}`;
    response.writeHead(401, { "www-authenticate": challenge }).end();
  };
  front.on("request", (request, response) => {
    if (request.url === "/.well-known/oauth-protected-resource/mcp")
      return void response.end(JSON.stringify({ resource: url, authorization_servers: [issuer], scopes_supported: ["mcp"] }));
    answer(request, response).catch((error: Error) => response.destroy(error));
  });
  return {
    url,
    tokenEndpoint: `${issuer}/token`,
    client,
    get accepted() {
      return [...state.accepted];
    },
    get refused() {
      return state.refused;
    },
    tokenRequests,
    grant: () => authorize({ issuer, client, scope: SCOPE, resource: url, redirectUri: REDIRECT_URI }),
    isActive,
    async close() {
      front.closeAllConnections();
      front.close();
      await Promise.all([close(), everything.close()]);
    },
  };
}

interface AuthorizationServerOptions extends OAuthMcpServerOptions {
  client: { id: string; secret: string };
  gate: { id: string; secret: string };
  resource: string;
}

async function startAuthorizationServer(options: AuthorizationServerOptions) {
  // Only who asks for it loads it: `sandbox0 demo` uses this package too.
  const { Provider } = await import("oidc-provider");
  const server = createServer();
  const issuer = await listen(server);
  const provider = new Provider(issuer, configurationOf(options));
  const tokenRequests: { grantType: string; status: number }[] = [];
  provider.use(async (context, next) => {
    await next();
    if (context.path !== "/token") return;
    const grantType = String((context.oidc?.params as { grant_type?: unknown } | undefined)?.grant_type);
    tokenRequests.push({ grantType, status: context.status });
  });
  const serve = provider.callback();
  server.on("request", (request, response) => {
    serve(request, response).catch((error: Error) => response.destroy(error));
  });
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    server.close();
  };
  return { issuer, tokenRequests, close };
}

function configurationOf({ client, gate, resource, accessTokenSeconds }: AuthorizationServerOptions): Configuration {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return {
    clients: [
      {
        client_id: client.id,
        client_secret: client.secret,
        redirect_uris: [REDIRECT_URI],
        grant_types: ["authorization_code", "refresh_token"],
        token_endpoint_auth_method: "client_secret_basic",
      },
      { client_id: gate.id, client_secret: gate.secret, redirect_uris: [], grant_types: [], response_types: [] },
    ],
    scopes: ["openid", "offline_access", "mcp"],
    // A refresh token is good once (RFC 9700 §4.14.2): who does not store the next one is locked out.
    rotateRefreshToken: true,
    features: {
      introspection: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: "mcp",
          audience: resource,
          accessTokenFormat: "opaque",
          accessTokenTTL: accessTokenSeconds,
        }),
        useGrantedResource: () => true,
      },
    },
    jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig" }] as never },
    cookies: { keys: [randomBytes(32).toString("base64url")] },
  };
}

async function listen(server: ReturnType<typeof createServer>): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Passes a request on as it is, and streams what comes back. */
function forward(request: IncomingMessage, response: ServerResponse, to: string): void {
  const { authorization: _, host: __, ...headers } = request.headers;
  const onward = httpRequest(to, { method: request.method, headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on("error", (error) => response.destroy(error));
  response.on("close", () => onward.destroy());
  request.pipe(onward);
}
