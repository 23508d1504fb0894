import { type HarnessInfo, invalidRequest } from "@sandbox0/protocol";

/** A harness as this server has it, or why it does not. */
export interface HarnessOffer {
  name: string;
  /** Of the vendor's program; `null` for one that is the server's own, or is not installed. */
  version: string | null;
  placement: HarnessInfo["placement"];
  /** The provider APIs that it speaks, the one it prefers first. */
  apis: readonly string[];
  /** A sentence fit for whoever asked for it; `null`: it can be used. */
  unavailable: string | null;
}

export interface Harnesses {
  readonly defaultName: string;
  list(): { data: HarnessInfo[] };
  /**
   * @param field what named it, for the error
   * @throws ApiError invalid_request_error when there is none of that name, or it cannot be used here
   */
  need(name: string, field: string): HarnessOffer;
}

export function createHarnesses(offers: readonly HarnessOffer[], defaultName: string): Harnesses {
  const usable = offers.filter(({ unavailable }) => unavailable === null).map(({ name }) => name);
  return {
    defaultName,
    list: () => ({ data: offers.map((offer) => describe(offer, defaultName)) }),
    need(name, field) {
      const offer = offers.find((each) => each.name === name);
      if (offer?.unavailable === null) return offer;
      const reason = offer?.unavailable ?? "there is no such harness";
      throw invalidRequest(
        `${field}: the harness "${name}" is not available on this server: ${reason}; available: ${usable.join(", ")}`,
      );
    },
  };
}

function describe(offer: HarnessOffer, defaultName: string): HarnessInfo {
  const { name, version, placement, apis, unavailable } = offer;
  return {
    type: "harness",
    name,
    version,
    placement,
    apis,
    available: unavailable === null,
    unavailable_reason: unavailable,
    default: name === defaultName,
  };
}
