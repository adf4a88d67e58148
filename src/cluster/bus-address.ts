/** Addresses on the bus: `host:port`, an IPv6 host in brackets. */

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Undefined for what is no address. */
export function parseAddress(address: string): HostPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port === 0 || port > 65_535 ? undefined : { host, port };
}
