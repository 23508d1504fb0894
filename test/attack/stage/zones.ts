import type { Zone } from "./records.ts";

/** Addresses that look like anybody's. */
export const GOOD = { v4: "93.184.216.34", v6: "2606:2800:21f:cb07::34" };
export const EVIL = { v4: "185.199.108.7", v6: "2a04:4e42:600::7" };

const good = { addresses: [GOOD.v4, GOOD.v6] };
const evil = { addresses: [EVIL.v4, EVIL.v6] };

/** Hosts that the environments of these tests allow, and many that look like them. */
export const ZONE: Zone = {
  "example.com": good,
  "www.example.com": evil,
  "evilexample.com": evil,
  "xn--exmple-4nf.com": evil,
  "evil.io": evil,
  "*.evil.io": evil,
  "*.com.evil.io": evil,
  "wild.example": evil,
  "*.wild.example": good,
  "*.sub.wild.example": good,
  "wildwild.example": evil,
  "xn--bcher-kva.example": good,
  "dns.google": { addresses: ["8.8.8.8"] },
};

/** `limited` networking of the tests. */
export const ALLOWED_HOSTS = ["example.com", "*.wild.example", "xn--bcher-kva.example"];
