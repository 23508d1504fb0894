export { EgressError } from "./egress-error.ts";
export type { Address, AddressGuard, AddressGuardOptions, ForbiddenEndpoint } from "./address-guard.ts";
export type { EgressGateway, EgressGatewayOptions, EgressListener, ModelHandler } from "./egress-gateway.ts";
export type { GuardedFetch, GuardedFetchOptions } from "./guarded-fetch.ts";
export type * from "./port.ts";
