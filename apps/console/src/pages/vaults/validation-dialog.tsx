import type { CapturedResponse, Credential, CredentialValidation } from "@sandbox0/protocol";
import { useQuery } from "@tanstack/react-query";
import { useId } from "react";
import { apiPath } from "../../api/api-path.ts";
import { useClient } from "../../api/client.ts";
import { Loaded } from "../../resources/loaded.tsx";
import { Badge, type Tone } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { CodeBlock } from "../../ui/code-block.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import { Facts } from "../../ui/page.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";

const LOOKS: Readonly<Record<CredentialValidation["status"], { tone: Tone; text: string; advice: string }>> = {
  valid: { tone: "ok", text: "Valid", advice: "The MCP server takes it." },
  invalid: { tone: "bad", text: "Invalid", advice: "A person must authorise again: change the credential to the new tokens." },
  unknown: { tone: "warn", text: "Unknown", advice: "The server could not tell. Try again later." },
};
const REFRESHES: Readonly<Record<NonNullable<CredentialValidation["refresh"]>["status"], string>> = {
  succeeded: "a new token was got",
  failed: "the token endpoint refused",
  connect_error: "the token endpoint could not be reached",
  no_refresh_token: "there is no refresh token",
};

/** Shows the token to its MCP server, once each time it is opened, and tells what came of it. */
export function ValidationDialog({ credential, onClose }: { credential: Credential; onClose(): void }) {
  const client = useClient();
  const opened = useId();
  const path = apiPath`/v1/vaults/${credential.vault_id}/credentials/${credential.id}/mcp_oauth_validate`;
  const validation = useQuery({
    queryKey: ["validate-credential", credential.id, opened],
    queryFn: async (): Promise<CredentialValidation> => client.post<CredentialValidation>(path, { maxRetries: 0 }),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    refetchOnWindowFocus: false,
  });
  return (
    <Dialog open onClose={onClose} title="Validate the credential" size="wide">
      <div className="dialog-body">
        <Loaded reading={validation} label="Asking the MCP server">
          {(data) => <ValidationDetails validation={data} />}
        </Loaded>
      </div>
      <div className="dialog-foot">
        <Button busy={validation.isFetching} onClick={() => void validation.refetch()}>
          Validate again
        </Button>
        <Button variant="primary" onClick={onClose}>
          Close
        </Button>
      </div>
    </Dialog>
  );
}

function ValidationDetails({ validation }: { validation: CredentialValidation }) {
  const look = LOOKS[validation.status];
  const { mcp_probe: probe, refresh } = validation;
  return (
    <div className="stack" role="status">
      <Facts
        facts={[
          [
            "Result",
            <span key="result">
              <Badge tone={look.tone}>{look.text}</Badge> {look.advice}
            </span>,
          ],
          ["Asked", <RelativeTime key="asked" at={validation.validated_at} />],
          ["Refresh token", validation.has_refresh_token ? "there is one" : "none"],
          ["Refresh", refresh ? REFRESHES[refresh.status] : null],
        ]}
      />
      {probe ? <Answer title={`Answer of the MCP server to ${probe.method}`} response={probe.http_response} /> : null}
      {refresh?.http_response ? <Answer title="Answer of the token endpoint" response={refresh.http_response} /> : null}
    </div>
  );
}

function Answer({ title, response }: { title: string; response: CapturedResponse | null }) {
  return (
    <div className="stack stack-sm">
      <h3>{title}</h3>
      {response === null ? (
        <p className="muted">No answer.</p>
      ) : (
        <>
          <p className="muted small">
            Status {response.status_code}, {response.content_type || "no content type"}
            {response.body_truncated ? ", cut" : ""}
          </p>
          {response.body === "" ? null : <CodeBlock text={response.body} label={title} fileName="answer.txt" />}
        </>
      )}
    </div>
  );
}
