/** Text of INFO: sections of `name:value` lines. */

export type InfoFields = readonly (readonly [name: string, value: string | number])[];

export function infoText(title: string, fields: InfoFields): string {
  return `# ${title}\r\n${fields.map(([name, value]) => `${name}:${value}\r\n`).join('')}`;
}

/** `1.50M`, as Redis shows bytes to people. */
export function humanBytes(bytes: number): string {
  const units = ['B', 'K', 'M', 'G', 'T', 'P'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return unit === 0 ? `${bytes}B` : `${value.toFixed(2)}${units[unit]}`;
}

export function percent(part: number, whole: number): string {
  return `${(whole === 0 ? 0 : (100 * part) / whole).toFixed(2)}%`;
}

/** Microseconds as seconds with six places. */
export function secondsOf(us: number): string {
  return (us / 1_000_000).toFixed(6);
}
