import { type ModelInfo, type ModelListQuery, PAGE_SIZE_DEFAULT, invalidRequest, notFound } from "@sandbox0/protocol";
import { type ModelCatalogue, describeModel } from "./model-catalogue.ts";

export interface ModelPage {
  data: ModelInfo[];
  has_more: boolean;
  first_id: string | null;
  last_id: string | null;
}

/** `GET /v1/models` (contract §14): newest release first, paged by ids. */
export interface Models {
  /** @throws ApiError not_found_error */
  retrieve(id: string): ModelInfo;
  list(query: ModelListQuery): ModelPage;
}

export function createModels(catalogue: ModelCatalogue): Models {
  return {
    retrieve(id) {
      const entry = catalogue.find(id);
      if (!entry) throw notFound(`Model \`${id}\` not found.`);
      return describeModel(entry);
    },
    list(query) {
      const wanted = query.lifecycle ?? ["active", "deprecated"];
      const entries = catalogue.entries.filter((entry) => wanted.includes(entry.lifecycle));
      const place = (field: "after_id" | "before_id"): number | undefined => {
        const id = query[field];
        if (id === undefined) return undefined;
        const index = entries.findIndex((entry) => entry.id === id);
        if (index < 0) throw invalidRequest(`${field}: no model \`${id}\` in this list`);
        return index;
      };
      const after = place("after_id");
      const before = place("before_id");
      if (after !== undefined && before !== undefined) throw invalidRequest("Only one of after_id or before_id may be set.");
      const limit = query.limit ?? PAGE_SIZE_DEFAULT;
      const start = before !== undefined ? Math.max(0, before - limit) : after !== undefined ? after + 1 : 0;
      const page = entries.slice(start, before ?? start + limit).map(describeModel);
      const hasMore = before !== undefined ? start > 0 : start + limit < entries.length;
      return { data: page, has_more: hasMore, first_id: page[0]?.id ?? null, last_id: page.at(-1)?.id ?? null };
    },
  };
}
