import { type FormEvent, useState } from "react";
import { createClient } from "../api/client.ts";
import { describeProblem, isSignedOut } from "../api/problem.ts";
import { Button } from "../ui/button.tsx";
import { TextField } from "../ui/field.tsx";
import { Logo } from "./logo.tsx";

/** Asks for an API key and tries it before it is kept. */
export function SignIn({ onSignIn }: { onSignIn(key: string): void }) {
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const submit = async (): Promise<void> => {
    const wanted = key.trim();
    if (wanted === "") return setProblem("Enter an API key.");
    setBusy(true);
    setProblem(null);
    try {
      await createClient(wanted).get("/v1/sessions", { query: { limit: 1 } });
      return onSignIn(wanted);
    } catch (error) {
      setProblem(isSignedOut(error) ? "The server does not know this key." : describeProblem(error).message);
      return setBusy(false);
    }
  };
  return (
    <main className="sign-in">
      <form
        className="sign-in-card stack stack-lg"
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          void submit();
        }}
      >
        <div className="row">
          <Logo size={28} />
          <h1>Sandbox0 console</h1>
        </div>
        <TextField
          label="API key"
          type="password"
          name="api-key"
          autoComplete="off"
          spellCheck={false}
          mono
          value={key}
          error={problem}
          hint="Stays in this tab: it is forgotten when you sign out or close the tab."
          onChange={(event) => setKey(event.target.value)}
        />
        <Button type="submit" variant="primary" busy={busy}>
          Sign in
        </Button>
        <p className="muted small">
          The server prints a key at its first start. <code>sandbox0 keys create</code> makes more.
        </p>
      </form>
    </main>
  );
}
