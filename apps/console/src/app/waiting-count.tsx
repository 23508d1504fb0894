import { useAttention } from "../api/attention.ts";

/** How many sessions wait for a person, beside "Home". */
export function WaitingCount() {
  const { data } = useAttention();
  if (!data || data.waiting_count === 0) return null;
  return (
    <span className="count" role="img" aria-label={`${data.waiting_count} waiting for you`}>
      {data.waiting_count}
    </span>
  );
}
