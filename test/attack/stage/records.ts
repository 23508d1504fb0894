/** Something of the pretend Internet that something reached. */
export type Reached =
  /** A connection was accepted; `to` is the address it was made to. */
  | { kind: "tcp"; to: string; port: number }
  | { kind: "udp"; port: number; text: string }
  | { kind: "dns"; name: string; type: string }
  | {
      kind: "http";
      to: string;
      port: number;
      tls: boolean;
      sni: string | null;
      method: string;
      url: string;
      host: string;
      headers: Record<string, string>;
      body: string;
    };

export type ReachedHttp = Extract<Reached, { kind: "http" }>;

/** What a name resolves to. IP addresses of either family, or one CNAME. */
export type Answers = { addresses: readonly string[] } | { cname: string };

/** The DNS of the pretend Internet, as data that passes between processes. A name that is not here does not exist. */
export interface Zone {
  /** Lower case, without a final dot; `*.x` answers for every name below x. */
  [name: string]: Answers | RebindingAnswers;
}

/** The first query of a type is answered with the first, each later one with the next; the last stays. */
export interface RebindingAnswers {
  inTurn: readonly Answers[];
}
