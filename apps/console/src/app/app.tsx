import { QueryCache, QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { useMemo, useSyncExternalStore } from "react";
import { ClientContext, createClient } from "../api/client.ts";
import { isSignedOut } from "../api/problem.ts";
import { ToastProvider } from "../ui/toast.tsx";
import type { KeyStore } from "./key-store.ts";
import { createConsoleRouter } from "./router.ts";
import { SignIn } from "./sign-in.tsx";
import { SignedInContext } from "./signed-in.ts";

const STALE_MS = 2_000;

/** Signed out: the sign-in. Signed in: everything else, with a client and a cache of its own, which signing out drops. */
export function App({ keys }: { keys: KeyStore }) {
  const apiKey = useSyncExternalStore(keys.subscribe, keys.get);
  return apiKey === null ? <SignIn onSignIn={keys.set} /> : <SignedInApp key={apiKey} apiKey={apiKey} signOut={keys.clear} />;
}

function SignedInApp({ apiKey, signOut }: { apiKey: string; signOut(): void }) {
  const { client, queries, router } = useMemo(
    () => ({ client: createClient(apiKey), queries: createQueries(signOut), router: createConsoleRouter() }),
    [apiKey, signOut],
  );
  const signedIn = useMemo(() => ({ signOut }), [signOut]);
  return (
    <SignedInContext value={signedIn}>
      <ClientContext value={client}>
        <QueryClientProvider client={queries}>
          <ToastProvider>
            <RouterProvider router={router} />
          </ToastProvider>
        </QueryClientProvider>
      </ClientContext>
    </SignedInContext>
  );
}

/** A key that is revoked signs out. The SDK retries what is worth it. */
function createQueries(signOut: () => void): QueryClient {
  return new QueryClient({
    queryCache: new QueryCache({
      onError: (error) => {
        if (isSignedOut(error)) signOut();
      },
    }),
    defaultOptions: { queries: { staleTime: STALE_MS, retry: false, refetchOnWindowFocus: true } },
  });
}
