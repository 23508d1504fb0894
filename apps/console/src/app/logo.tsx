export function Logo({ size = 20 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="7" fill="#1f2a37" />
      <path d="M9 10.5h14v11H9z" fill="none" stroke="#f3c98b" strokeWidth="2.2" strokeLinejoin="round" />
      <path d="M13 16h6" stroke="#fff" strokeWidth="2.2" strokeLinecap="round" />
    </svg>
  );
}
