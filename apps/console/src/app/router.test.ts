import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { createMemoryHistory, RouterProvider } from "@tanstack/react-router";
import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { type Client, ClientContext } from "../api/client.ts";
import { createConsoleRouter } from "./router.ts";
import { SignedInContext } from "./signed-in.ts";
import { ToastProvider } from "../ui/toast.tsx";

const NOT_FOUND = "There is no such page";

beforeAll(() => {
  vi.stubGlobal("localStorage", { getItem: () => null });
});
afterAll(() => {
  vi.unstubAllGlobals();
});

/** The console as it is first shown at this address, before the server has answered anything. */
async function show(address: string): Promise<string> {
  const router = createConsoleRouter();
  router.update({ ...router.options, history: createMemoryHistory({ initialEntries: [`/console${address}`] }) });
  await router.load();
  const page = createElement(RouterProvider, { router });
  const queries = createElement(QueryClientProvider, { client: new QueryClient() }, createElement(ToastProvider, null, page));
  const client = createElement(ClientContext, { value: {} as Client }, queries);
  return renderToStaticMarkup(createElement(SignedInContext, { value: { signOut: () => undefined } }, client));
}

test.each(["/sessions/sesn_01", "/vaults/vlt_01", "/agents/agent_01/edit", "/sessions/sesn_01/files", "/egress"])(
  "%s is a page",
  async (address) => {
    const html = await show(address);
    expect(html).toContain('id="main"');
    expect(html).not.toContain(NOT_FOUND);
  },
);

test.each([
  "/sessions/..%2Fvaults%2Fvlt_01",
  "/sessions/..%2Fvaults%2Fvlt_01/files",
  "/vaults/vlt_01%2Farchive",
  "/agents/a%3Fb/edit",
  "/memory/..%2Fagents",
  "/nowhere",
])("%s is none", async (address) => {
  const html = await show(address);
  expect(html).toContain('id="main"');
  expect(html).toContain(NOT_FOUND);
});
