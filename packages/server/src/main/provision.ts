import { createProvision, type Provision } from "../provision/provision.ts";

/** What the sandboxes of sessions are given, in order. */
export function createServerProvision(): Provision {
  return createProvision([]);
}
