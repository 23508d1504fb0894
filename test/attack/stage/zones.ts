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

/** Names that lead to where nobody outside should get. */
export const INWARD_ZONE: Zone = {
  ...ZONE,
  "ten.test": { addresses: ["10.0.0.5"] },
  "loopback.test": { addresses: ["127.0.0.1", "::1"] },
  "loopback2.test": { addresses: ["127.9.9.9"] },
  "any.test": { addresses: ["0.0.0.0", "::"] },
  "link.test": { addresses: ["169.254.7.7", "fe80::7"] },
  "ula.test": { addresses: ["fd12:3456::1"] },
  "mapped.test": { addresses: ["::ffff:10.0.0.5"] },
  "nat64.test": { addresses: ["64:ff9b::a00:5"] },
  "sixtofour.test": { addresses: ["2002:7f00:1::"] },
  "shared.test": { addresses: ["100.64.1.1"] },
  "metadata.google.internal": { addresses: ["169.254.169.254"] },
  "alias.test": { cname: "ten.test" },
  "alias-of-alias.test": { cname: "alias.test" },
  "public-and-private.test": { addresses: [GOOD.v4, "10.0.0.5"] },
  "rebinds.test": { inTurn: [{ addresses: [GOOD.v4] }, { addresses: ["169.254.169.254"] }] },
  "rebinds-by-alias.test": { inTurn: [{ addresses: [GOOD.v4] }, { cname: "ten.test" }] },
};
