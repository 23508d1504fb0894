import { createContext, useContext } from "react";

/** Being signed in. */
export interface SignedIn {
  signOut(): void;
}

export const SignedInContext = createContext<SignedIn | null>(null);

export function useSignedIn(): SignedIn {
  const value = useContext(SignedInContext);
  if (value === null) throw new Error("useSignedIn outside of the signed-in part");
  return value;
}
