import type { HarnessInfo } from "@sandbox0/protocol";
import { Loaded } from "../../resources/loaded.tsx";
import { useResource } from "../../resources/use-resources.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Badge } from "../../ui/badge.tsx";
import { Facts, Page } from "../../ui/page.tsx";

const PLACEMENTS: Readonly<Record<HarnessInfo["placement"], string>> = {
  "sandbox-as-tool": "in the server; a sandbox is used when a tool needs one",
  "agent-in-sandbox": "in the session's sandbox",
};
const APIS: Readonly<Record<string, string>> = {
  "anthropic-messages": "Anthropic Messages",
  "openai-responses": "OpenAI Responses",
  "openai-completions": "OpenAI Chat Completions",
};

/** The agent loops of this server. */
export function HarnessesPage() {
  const harnesses = useResource<{ data: HarnessInfo[] }>("/sandbox0/v1/harnesses");
  return (
    <Page
      title="Harnesses"
      description="The loop behind a session. All of them keep the same API, events, policy and durability."
    >
      <Loaded reading={harnesses} label="Loading harnesses">
        {({ data }) => (
          <ul className="card-grid">
            {data.map((harness) => (
              <li key={harness.name}>
                <HarnessCard harness={harness} />
              </li>
            ))}
          </ul>
        )}
      </Loaded>
      <p className="muted small section">
        A session gets the harness of its model-provider vault, else of its agent, else the server's default, and keeps it.
      </p>
    </Page>
  );
}

function HarnessCard({ harness }: { harness: HarnessInfo }) {
  return (
    <article className="card card-body stack" aria-label={harness.name}>
      <div className="row row-wrap">
        <h2>{harness.name}</h2>
        {harness.default ? <Badge tone="info">Default</Badge> : null}
        {harness.available ? <Badge tone="ok">Available</Badge> : <Badge tone="warn">Not available</Badge>}
      </div>
      {harness.unavailable_reason ? (
        <p className="muted">
          <UntrustedLine text={harness.unavailable_reason} />
        </p>
      ) : null}
      <Facts
        facts={[
          ["Runs", PLACEMENTS[harness.placement]],
          ["Version", harness.version ?? (harness.available ? "the server's own" : "not installed")],
          ["Speaks", harness.apis.map((api) => APIS[api] ?? api).join(", ")],
        ]}
      />
    </article>
  );
}
