/** The volume has more entries than a walk looks at, or their list takes more bytes than a manifest may: the message says which. */
export class TooManyEntries extends Error {
  readonly code = "too_many_entries";
  constructor(message: string) {
    super(message);
    this.name = "TooManyEntries";
  }
}
