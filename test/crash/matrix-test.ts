import { test } from "vitest";
import { KillMatrix, type MatrixOptions } from "./kill-matrix.ts";
import { createStage } from "./stage.ts";

/** A blow takes seconds on a busy machine, most of it the start of the next server. */
const MATRIX_TIMEOUT_MS = 10 * 60_000;

/** A test with a kill matrix of its own: database, data directory and server. */
export function matrixTest(name: string, body: (matrix: KillMatrix) => Promise<void>, options: MatrixOptions = {}): void {
  test(name, { timeout: MATRIX_TIMEOUT_MS }, async () => {
    const stage = await createStage();
    try {
      const matrix = await KillMatrix.open(stage, options);
      try {
        await body(matrix);
      } finally {
        await matrix.close();
      }
      print(name, matrix.report);
    } finally {
      await stage.close();
    }
  });
}

function print(name: string, { hits, blows, recoveriesMs }: KillMatrix["report"]): void {
  const sorted = recoveriesMs.toSorted((a, b) => a - b).map(Math.round);
  const middle = sorted[Math.floor(sorted.length / 2)];
  console.log(
    `${name}: ${hits.length} points in ${blows} blows; sessions went on in ${middle} ms (middle), ${sorted.at(-1)} ms (longest), budget 2000 ms`,
  );
}
