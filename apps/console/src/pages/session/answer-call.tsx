import type { EventParams } from "@sandbox0/protocol";
import { useState } from "react";
import { problemText } from "../../api/problem.ts";
import { useSendEvents } from "../../api/sessions.ts";
import { plainLine } from "../../text/untrusted-text.ts";
import { UntrustedLine } from "../../text/untrusted.tsx";
import { Badge } from "../../ui/badge.tsx";
import { Button } from "../../ui/button.tsx";
import { JsonBlock } from "../../ui/code-block.tsx";
import { Checkbox, TextArea } from "../../ui/field.tsx";
import { ToolInput } from "./tool-input.tsx";

export interface CallToAnswer {
  id: string;
  name: string;
  /** `null`: too long for where it is shown. */
  input: Record<string, unknown> | null;
  kind: "approval" | "custom" | "result";
}

const TITLES = { approval: "Approve", custom: "Answer", result: "Give the result of" };

/** A call that waits for a person: what it is, and the ways to answer it. */
export function AnswerCall({ sessionId, call }: { sessionId: string; call: CallToAnswer }) {
  return (
    <section className="answer" aria-label={`${TITLES[call.kind]} ${plainLine(call.name)}`}>
      <div className="row row-wrap">
        <Badge tone="warn">{call.kind === "approval" ? "Approval" : "Answer needed"}</Badge>
        <strong className="mono">
          <UntrustedLine text={call.name} />
        </strong>
      </div>
      {call.input === null ? (
        <p className="muted small">The input is too long to be shown here: open the session to see it.</p>
      ) : call.kind === "approval" ? (
        <ToolInput name={call.name} input={call.input} />
      ) : (
        <JsonBlock value={call.input} label="Input" />
      )}
      {call.kind === "approval" ? (
        <Approval sessionId={sessionId} call={call} />
      ) : (
        <GiveResult sessionId={sessionId} call={call} />
      )}
    </section>
  );
}

function Approval({ sessionId, call }: { sessionId: string; call: CallToAnswer }) {
  const send = useSendEvents(sessionId);
  const [denying, setDenying] = useState(false);
  const [reason, setReason] = useState("");
  const confirm = (result: "allow" | "deny") => {
    const message = reason.trim();
    const event: EventParams = {
      type: "user.tool_confirmation",
      tool_use_id: call.id,
      result,
      ...(result === "deny" && message !== "" && { deny_message: message }),
    };
    send.mutate([event]);
  };
  const done = send.isPending || send.isSuccess;
  return (
    <form
      className="stack stack-sm"
      onSubmit={(event) => {
        event.preventDefault();
        confirm("deny");
      }}
    >
      {denying ? (
        <TextArea
          label="Reason (the agent reads it)"
          value={reason}
          rows={2}
          onChange={(event) => setReason(event.target.value)}
        />
      ) : null}
      {send.error ? <div className="field-error">{problemText(send.error)}</div> : null}
      <div className="row row-wrap">
        {denying ? (
          <>
            <Button type="submit" variant="danger" busy={done}>
              Deny call
            </Button>
            <Button variant="quiet" onClick={() => setDenying(false)}>
              Cancel
            </Button>
          </>
        ) : (
          <>
            <Button variant="primary" icon="check" busy={done} onClick={() => confirm("allow")}>
              Allow
            </Button>
            <Button icon="close" disabled={done} onClick={() => setDenying(true)}>
              Deny…
            </Button>
          </>
        )}
      </div>
    </form>
  );
}

function GiveResult({ sessionId, call }: { sessionId: string; call: CallToAnswer }) {
  const send = useSendEvents(sessionId);
  const [text, setText] = useState("");
  const [failed, setFailed] = useState(false);
  const submit = () => {
    const result = { content: [{ type: "text" as const, text }], is_error: failed };
    send.mutate([
      call.kind === "custom"
        ? { type: "user.custom_tool_result", custom_tool_use_id: call.id, ...result }
        : { type: "user.tool_result", tool_use_id: call.id, ...result },
    ]);
  };
  return (
    <form
      className="stack stack-sm"
      onSubmit={(event) => {
        event.preventDefault();
        if (text !== "") submit();
      }}
    >
      <TextArea label={`Result of ${call.name}`} mono value={text} rows={3} onChange={(event) => setText(event.target.value)} />
      {send.error ? <div className="field-error">{problemText(send.error)}</div> : null}
      <div className="row row-wrap">
        <Button type="submit" variant="primary" icon="send" busy={send.isPending || send.isSuccess} disabled={text === ""}>
          Send result
        </Button>
        <Checkbox label="The call failed" checked={failed} onChange={(event) => setFailed(event.target.checked)} />
      </div>
    </form>
  );
}
