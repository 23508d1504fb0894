import { DatabaseUnavailable, translateError } from "./database-error.ts";

/**
 * What goes wrong in the background of a test. A database that a slow machine lost for a moment is not kept: the product
 * comes back from it. Thrown on the spot, the error would end the run and name no test.
 */
export class Troubles {
  readonly #seen: unknown[] = [];

  readonly add = (error: unknown): void => {
    if (!(translateError(error, false) instanceof DatabaseUnavailable)) this.#seen.push(error);
  };

  /** To be called when all is closed. @throws what was added */
  check(): void {
    if (this.#seen.length > 0) throw new AggregateError(this.#seen, "there was trouble in the background");
  }
}
