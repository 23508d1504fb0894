import { type KeyboardEvent, useState } from "react";
import { problemText } from "../../api/problem.ts";
import { useSendEvents } from "../../api/sessions.ts";
import { Button } from "../../ui/button.tsx";
import { useSessionView } from "./session-context.ts";

/** Where a person writes. While the agent works, a message waits for its turn. */
export function Composer({ blocked, onSent }: { blocked: boolean; onSent: () => void }) {
  const { session, log, running } = useSessionView();
  const [text, setText] = useState("");
  const send = useSendEvents(session.id);
  const submit = () => {
    const message = text.trim();
    if (message === "" || send.isPending) return;
    send.mutate([{ type: "user.message", content: [{ type: "text", text: message }] }], {
      // What was typed meanwhile stays.
      onSuccess: (sent) => {
        log.admit(sent.data);
        onSent();
        setText((now) => (now.trim() === message ? "" : now));
      },
    });
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    submit();
  };
  return (
    <form
      className="composer conversation-column"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      {send.error ? (
        <div className="field-error" role="alert">
          {problemText(send.error)}
        </div>
      ) : null}
      <div className="composer-box">
        <textarea
          aria-label="Message"
          className="composer-input"
          rows={Math.min(8, text.split("\n").length)}
          placeholder={running || blocked ? "Queue a message…" : "Message the agent…"}
          value={text}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={onKeyDown}
        />
        <Button type="submit" variant="primary" icon="send" busy={send.isPending} disabled={text.trim() === ""}>
          Send
        </Button>
      </div>
      <div className="composer-hint muted small">
        <span className="kbd">Enter</span> sends, <span className="kbd">Shift Enter</span> begins a new line
      </div>
    </form>
  );
}
