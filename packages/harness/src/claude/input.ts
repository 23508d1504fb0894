/** Messages for a program, as they are pushed. */
export interface Input<T> {
  push(message: T): void;
  messages: AsyncIterable<T>;
}

export function createInput<T>(): Input<T> {
  const waiting: T[] = [];
  let wake = (): void => undefined;
  return {
    push(message) {
      waiting.push(message);
      wake();
    },
    messages: {
      async *[Symbol.asyncIterator]() {
        for (;;) {
          for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) yield next;
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      },
    },
  };
}
