import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app/app.tsx";
import { createKeyStore } from "./app/key-store.ts";
import { followTheme } from "./app/theme.ts";
import "./styles/index.css";

followTheme();
const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <App keys={createKeyStore(sessionStorage)} />
  </StrictMode>,
);
