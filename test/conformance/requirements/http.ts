import type { Requirements } from "./requirement.ts";

/** How the API is spoken: headers, keys, bodies, errors, pages. */
export const HTTP = {
  "auth.bearer-key": ["contract §1.2", "An API key is accepted as `Authorization: Bearer`."],
  "auth.x-api-key": ["contract §1.2", "An API key is accepted as `x-api-key`, as SDKs before 1.0 send it."],
  "auth.missing-key": ["semantics §1", "Without a key: 401 authentication_error."],
  "auth.wrong-key": ["semantics §1", "With an unknown or revoked key: 401 authentication_error."],
  "auth.workspace-scope": ["contract §1.2", "A key belongs to one workspace: it sees and lists only what is in it."],
  "auth.foreign-id": ["issue 2", "Another workspace's id answers exactly like an unknown one, in every operation."],
  "auth.workspace-header": [
    "contract §1.1",
    "`anthropic-workspace-id` of another workspace is an error; the own one is accepted.",
  ],
  "auth.workspace-response": ["contract §1.5", "Responses carry `anthropic-workspace-id`."],

  "http.request-id": ["semantics §1", "Every response carries `request-id: req_…`, each its own; error bodies carry the same."],
  "http.error-envelope": [
    "contract §1.7",
    'Every error is `{type:"error", error:{type,message}, request_id}` as application/json.',
  ],
  "http.json-content-type": ["contract §1.5", "Every body is application/json."],
  "http.official-types": ["design §11", "Every response and every event is of the SDK's types, without unknown fields."],
  "http.id-prefixes": ["contract §1.9", "Ids are opaque, with the official prefixes; timestamps are RFC 3339 in UTC."],
  "http.beta-header": ["contract §1.3", "A missing or unknown `anthropic-beta` is accepted, and so is a list of them."],
  "http.old-version": ["contract §1.1", "`anthropic-version` 2023-06-01 and `?beta=true` are accepted."],
  "http.accept": ["contract §1.1", "`Accept` is never negotiated: streams come for application/json too."],
  "http.empty-post": ["contract §1.1", "A POST without body and content-type works where none is needed."],
  "http.query-arrays": ["contract §1.4", "`k[]=a&k[]=b`, `k=a&k=b` and `k[0]=a` are the same list."],
  "http.empty-query": ["contract §1.4", "An empty query value is an absent one."],
  "http.unknown-keys": ["contract §1.4", "Unknown top-level keys of a body are ignored."],
  "http.wrong-types": ["contract §1.4", "A wrong type is a 400 invalid_request_error that names the field."],
  "http.unknown-route": ["semantics §1", "An unknown path or method: 404 not_found_error."],
  "http.delete-body": ["contract §1.5", "Deletes answer 200 with `{id, type}`."],
  "http.broken-json": ["issue 2", "Broken JSON, a body that is no object, nesting without end: 400, nothing changed."],
  "http.body-limit": ["semantics §1", "A body over 32 MB: 413 request_too_large."],
  "http.body-encoding": ["contract §1.4", "Charsets and content-encodings that are not understood: 400 with their error code."],
  "http.stored-text": ["issue 2", "Text that cannot be stored (NUL, half a surrogate pair) is a 400, in no case a 500."],
  "http.conflict-no-retry": ["contract §1.8", "A deterministic 409 says `x-should-retry: false`."],
  "http.unbuilt": ["issue 2", "Each operation of contract §2 that is not built: 501 with `x-should-retry: false`."],

  "pages.walk": ["contract §1.6", "Following `next_page` shows each entry once; at the end it is null."],
  "pages.sizes": ["contract §1.6", "Agents, environments, sessions: 20 by default, at most 100; outside of 1..max: 400."],
  "pages.events-size": ["semantics §23", "Event lists: 1,000 by default and at most."],
  "pages.prev": ["semantics §1", "Only `GET /v1/sessions` has `prev_page`: null on the first page, leading back from others."],
  "pages.bad-cursor": ["contract §1.6", "A cursor that is not one, or of another list: 400."],
  "pages.cursor-order": ["semantics §1", "A cursor used with another `order`: 400."],
  "pages.cursor-filters": ["semantics §1", "`limit` and other filters may change between pages."],
  "pages.cursor-outside": ["semantics §1", "A `created_at` filter that leaves the cursor outside: 400."],
  "pages.models": ["contract §1.6", "Models: `after_id`, `before_id`, `has_more`, `first_id`, `last_id`."],

  "metadata.limits": ["contract §1.10", "At most 16 pairs, keys of 64 and values of 512 characters: 400 beyond."],
  "metadata.patch": ["contract §1.10", "On update a string sets, null deletes, a key left out stays; the merged bag is limited."],
} as const satisfies Requirements;
