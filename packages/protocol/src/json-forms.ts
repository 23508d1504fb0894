import { z } from "zod";

/** What a schema is on the wire, as JSON Schema says it, where its Zod schema cannot: query parameters, parts of forms. */
export type JsonForm = Readonly<Record<string, unknown>>;
export const JSON_FORMS = z.registry<JsonForm>();
