import { APT_CONFIG_PATH, CA_BUNDLE_PATH, EGRESS_PORT } from "./layout.ts";

const PROXY_URL = `http://127.0.0.1:${EGRESS_PORT}`;

/** For programs that speak HTTP. Node takes proxies from the environment only when asked to. */
const PROXY_ENV: Readonly<Record<string, string>> = {
  ...inBothCases({
    HTTP_PROXY: PROXY_URL,
    HTTPS_PROXY: PROXY_URL,
    ALL_PROXY: PROXY_URL,
    NO_PROXY: "127.0.0.1,localhost,::1",
  }),
  NODE_USE_ENV_PROXY: "1",
  APT_CONFIG: APT_CONFIG_PATH,
};

/** Where programs look for certificate authorities that do not look where the system has them. */
const CA_VARIABLES = [
  // OpenSSL, and with it Python and Ruby; Go.
  "SSL_CERT_FILE",
  "CURL_CA_BUNDLE",
  "GIT_SSL_CAINFO",
  "NODE_EXTRA_CA_CERTS",
  "npm_config_cafile",
  "PIP_CERT",
  "REQUESTS_CA_BUNDLE",
  "CARGO_HTTP_CAINFO",
  "AWS_CA_BUNDLE",
];
const CA_ENV = Object.fromEntries(CA_VARIABLES.map((name) => [name, CA_BUNDLE_PATH]));

/** Environment of every command that has a way out. */
export function egressEnv(hasCaBundle: boolean): Record<string, string> {
  return hasCaBundle ? { ...PROXY_ENV, ...CA_ENV } : { ...PROXY_ENV };
}

/** The same for apt, which reads no variable for its certificates. */
export const APT_CONFIG = [
  `Acquire::http::Proxy "${PROXY_URL}";`,
  `Acquire::https::Proxy "${PROXY_URL}";`,
  `Acquire::https::CAInfo "${CA_BUNDLE_PATH}";`,
  "",
].join("\n");

function inBothCases(variables: Readonly<Record<string, string>>): Record<string, string> {
  const pairs = Object.entries(variables).flatMap(([name, value]) => [
    [name, value],
    [name.toLowerCase(), value],
  ]);
  return Object.fromEntries(pairs);
}
