import { createContext, type ReactNode, useCallback, useContext, useMemo, useState } from "react";
import { IconButton } from "./button.tsx";
import { Icon } from "./icon.tsx";

const TOAST_MS = 5_000;
const TOASTS_MAX = 4;

interface Toast {
  id: number;
  text: string;
  tone: "ok" | "bad";
}
export type ShowToast = (text: string, tone?: Toast["tone"]) => void;

const ToastContext = createContext<ShowToast | null>(null);

/** Short news at the edge of the screen; screen readers are told. Errors stay until they are closed. */
export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<readonly Toast[]>([]);
  const remove = useCallback((id: number) => setToasts((all) => all.filter((toast) => toast.id !== id)), []);
  const show = useMemo<ShowToast>(() => {
    let lastId = 0;
    return (text, tone = "ok") => {
      lastId += 1;
      const id = lastId;
      setToasts((all) => [...all.slice(1 - TOASTS_MAX), { id, text, tone }]);
      if (tone === "ok") setTimeout(() => remove(id), TOAST_MS);
    };
  }, [remove]);
  return (
    <ToastContext value={show}>
      {children}
      <div className="toasts" aria-live="polite" role="status">
        {toasts.map((toast) => (
          <div key={toast.id} className="toast" data-tone={toast.tone}>
            <span className="toast-icon">
              <Icon name={toast.tone === "ok" ? "check" : "warn"} />
            </span>
            <span className="grow">{toast.text}</span>
            <IconButton icon="close" label="Dismiss" size="small" onClick={() => remove(toast.id)} />
          </div>
        ))}
      </div>
    </ToastContext>
  );
}

export function useToast(): ShowToast {
  const show = useContext(ToastContext);
  if (show === null) throw new Error("useToast outside of ToastProvider");
  return show;
}
