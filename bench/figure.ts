/** What design §11 allows a figure: the most milliseconds, megabytes …, or the fewest a second. */
export interface Budget {
  p50Max?: number;
  p99Max?: number;
  valueMax?: number;
  valueMin?: number;
}

/** One measured number, printed as one JSON line. Either percentiles or a value. */
export interface Figure {
  name: string;
  /** Samples, or operations behind a value. */
  n: number;
  unit: string;
  p50?: number;
  p95?: number;
  p99?: number;
  value?: number;
  budget: Budget;
  /** Median over the median of `against`, or rate over its rate, measured in the same run. */
  ratio?: number;
  against?: string;
}

/** Percentiles of times in milliseconds. `direct`: the same work without us. */
export function times(
  name: string,
  samples: readonly number[],
  budget: Budget,
  direct?: { name: string; samples: readonly number[] },
): Figure {
  if (samples.length === 0) throw new Error(`${name}: nothing was measured`);
  const ratio = direct ? { ratio: round(percentile(samples, 0.5) / percentile(direct.samples, 0.5)), against: direct.name } : {};
  return {
    name,
    n: samples.length,
    unit: "ms",
    p50: round(percentile(samples, 0.5)),
    p95: round(percentile(samples, 0.95)),
    p99: round(percentile(samples, 0.99)),
    budget,
    ...ratio,
  };
}

export function value(name: string, amount: number, unit: string, n: number, budget: Budget): Figure {
  return { name, n, unit, value: round(amount), budget };
}

/** Operations a second. `bare`: the same kind of operation without us. */
export function rate(
  name: string,
  perSecond: number,
  n: number,
  budget: Budget,
  bare: { name: string; perSecond: number },
): Figure {
  return { ...value(name, perSecond, "/s", n, budget), ratio: round(perSecond / bare.perSecond), against: bare.name };
}

export function percentile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Four significant digits: more would be noise. */
function round(amount: number): number {
  return Number(amount.toPrecision(4));
}
