/** Why a harness cannot work with a model, as a sentence; `null`: it can. */
export function describeMisfit(
  harness: { name: string; apis: readonly string[] },
  model: { id: string; api: string },
): string | null {
  if (harness.apis.includes(model.api)) return null;
  return (
    `the harness "${harness.name}" speaks ${harness.apis.join(" or ")}, and the model "${model.id}" is served over ` +
    `${model.api} here; choose another model or harness, or name a provider of it in an LLM vault`
  );
}
