/** Where blobs are in an S3-compatible store. */
export interface S3Location {
  bucket: string;
  /** Before every key; empty, or ends with a slash. */
  prefix: string;
  /** Of a store that is not Amazon's; `undefined`: what the environment of the AWS SDK says. */
  endpoint?: string;
  region?: string;
}

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const PARAMETERS = new Set(["endpoint", "region"]);

/**
 * `s3://bucket/prefix?endpoint=https://s3.example.com&region=eu-1`. Keys are never in it: they come from the environment,
 * as for every program of Amazon's SDK. @throws Error that names the rule
 */
export function parseS3Url(text: string): S3Location {
  const url = URL.parse(text);
  if (url?.protocol !== "s3:") throw new Error("must be an s3:// URL");
  if (url.username !== "" || url.password !== "")
    throw new Error("must not have a key in it: use AWS_ACCESS_KEY_ID and the like");
  if (!BUCKET.test(url.hostname)) throw new Error("must begin with s3:// and the name of a bucket");
  for (const name of url.searchParams.keys()) if (!PARAMETERS.has(name)) throw new Error(`has an unknown parameter "${name}"`);
  const endpoint = url.searchParams.get("endpoint");
  if (endpoint !== null && !/^https?:$/.test(URL.parse(endpoint)?.protocol ?? "")) {
    throw new Error("has an endpoint that is no http or https URL");
  }
  const region = url.searchParams.get("region");
  const path = decodeURIComponent(url.pathname).replace(/^\/+|\/+$/g, "");
  return {
    bucket: url.hostname,
    prefix: path === "" ? "" : `${path}/`,
    ...(endpoint === null ? {} : { endpoint }),
    ...(region === null ? {} : { region }),
  };
}
