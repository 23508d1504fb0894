import type { Money } from "@sandbox0/protocol";
import type { UsageTotals } from "./head.ts";

/** Prices of what is not tokens (semantics §15). */
const USD_PER_HOUR = 0.08;
const USD_PER_SEARCH = 0.01;
const MS_PER_HOUR = 3_600_000;
const CENTS_PER_USD = 100;

/** In whole cents. `null`: no model of the session has a price. `runtime`: whether running time is paid for, too. */
export function listCost(totals: UsageTotals, { runtime }: { runtime: boolean }): Money | null {
  if (totals.tokenCostUsd === null) return null;
  const usd = totals.tokenCostUsd + otherCostUsd(totals, runtime);
  return { amount: String(Math.round(usd * CENTS_PER_USD)), currency: "USD" };
}

/** The tokens' part of a cost with running time, as near as whole cents tell. */
export function tokenCostUsd(cost: Money | null, totals: Omit<UsageTotals, "tokenCostUsd">): number | null {
  return cost === null ? null : Math.max(0, Number(cost.amount) / CENTS_PER_USD - otherCostUsd(totals, true));
}

function otherCostUsd({ activeMs, webSearches }: Omit<UsageTotals, "tokenCostUsd">, runtime: boolean): number {
  return (runtime ? (activeMs / MS_PER_HOUR) * USD_PER_HOUR : 0) + webSearches * USD_PER_SEARCH;
}
