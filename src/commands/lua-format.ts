/**
 * Numbers and `string.format` as C's printf has them, which Lua 5.1 hands its arguments to. Lua 5.3 refuses doubles with
 * a fraction for `%d`, and fengari integers beyond 32 bits.
 */

const FLAG = /^%([-+ #0]*)(\d*)(?:\.(\d*))?([a-zA-Z%])/;

/** `%.{digits}g`: at most so many significant digits, no trailing zeros. */
export function formatG(value: number, digits: number, keepsZeros = false): string {
  if (!Number.isFinite(value)) return special(value);
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const precision = Math.max(digits, 1);
  const [mantissa, exponent] = value.toExponential(precision - 1).split('e') as [string, string];
  const power = Number(exponent);
  const trim = (text: string): string =>
    keepsZeros || !text.includes('.') ? text : text.replace(/0+$/, '').replace(/\.$/, '');
  if (power < -4 || power >= precision) return `${trim(mantissa)}e${exponentText(power)}`;
  return trim(value.toFixed(Math.max(precision - 1 - power, 0)));
}

/** `%.{digits}e`. */
function formatE(value: number, digits: number): string {
  if (!Number.isFinite(value)) return special(value);
  const [mantissa, exponent] = value.toExponential(digits).split('e') as [string, string];
  return `${mantissa}e${exponentText(Number(exponent))}`;
}

/** `%.{digits}f`, beyond what toFixed writes out too. */
function formatF(value: number, digits: number): string {
  if (!Number.isFinite(value)) return special(value);
  if (Math.abs(value) < 1e21) return value.toFixed(Math.min(digits, 100));
  return digits === 0 ? BigInt(value).toString() : `${BigInt(value)}.${'0'.repeat(digits)}`;
}

function exponentText(power: number): string {
  const size = Math.abs(power);
  return `${power < 0 ? '-' : '+'}${size < 10 ? '0' : ''}${size}`;
}

function special(value: number): string {
  if (Number.isNaN(value)) return '-nan';
  return value < 0 ? '-inf' : 'inf';
}

/** What the format asks for its arguments. */
export interface FormatArguments {
  /** The next argument as a number. Throws when it is none. */
  number(): number;
  /** As bytes, one character a byte. */
  text(): string;
}

/** `string.format`: text of one character a byte. Throws an Error with Lua's words for a wrong format. */
export function formatText(format: string, given: FormatArguments): string {
  let out = '';
  for (let at = 0; at < format.length;) {
    const percent = format.indexOf('%', at);
    if (percent < 0) return out + format.slice(at);
    out += format.slice(at, percent);
    const match = FLAG.exec(format.slice(percent, percent + 32));
    if (match === null) throw new Error(`invalid option '%${format[percent + 1] ?? ''}' to 'format'`);
    const [whole, flags = '', width = '', precision, kind = ''] = match;
    if (width.length > 2 || (precision?.length ?? 0) > 2)
      throw new Error('invalid format (width or precision too long)');
    out += kind === '%' ? '%' : pad(one(kind, flags, precision, given), flags, Number(width), kind);
    at = percent + whole.length;
  }
  return out;
}

function one(kind: string, flags: string, precision: string | undefined, given: FormatArguments): string {
  const digits = precision === undefined ? undefined : Number(precision);
  switch (kind) {
    case 'd':
    case 'i':
      return signed(integer(BigInt(Math.trunc(finite(given.number()))), 10, digits), flags);
    case 'u':
      return integer(unsigned(given.number()), 10, digits);
    case 'x':
    case 'X':
    case 'o': {
      const text = integer(unsigned(given.number()), kind === 'o' ? 8 : 16, digits);
      const prefix = flags.includes('#') && text !== '0' ? (kind === 'o' ? '0' : '0x') : '';
      return kind === 'X' ? (prefix + text).toUpperCase() : prefix + text;
    }
    case 'c':
      return String.fromCharCode(given.number() & 0xff);
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      return decimal(kind, flags, digits ?? 6, given.number());
    case 's': {
      const text = given.text();
      return digits === undefined ? text : text.slice(0, digits);
    }
    case 'q':
      return quoted(given.text());
    default:
      throw new Error(`invalid option '%${kind}' to 'format'`);
  }
}

function decimal(kind: string, flags: string, digits: number, value: number): string {
  let text: string;
  if (kind === 'e' || kind === 'E') text = formatE(value, digits);
  else if (kind === 'f' || kind === 'F') text = formatF(value, digits);
  else text = formatG(value, digits, flags.includes('#'));
  text = signed(text, flags);
  return kind === 'E' || kind === 'G' ? text.toUpperCase() : text;
}

function signed(text: string, flags: string): string {
  if (text.startsWith('-')) return text;
  if (flags.includes('+')) return `+${text}`;
  return flags.includes(' ') ? ` ${text}` : text;
}

function finite(value: number): number {
  // What C makes of a double that is no long.
  return Number.isFinite(value) && Math.abs(value) < 2 ** 63 ? value : -(2 ** 63);
}

function unsigned(value: number): bigint {
  return BigInt.asUintN(64, BigInt(Math.trunc(finite(value))));
}

function integer(value: bigint, base: number, digits: number | undefined): string {
  const text = (value < 0n ? -value : value).toString(base).padStart(digits ?? 1, '0');
  return value < 0n ? `-${text}` : text;
}

function pad(text: string, flags: string, width: number, kind: string): string {
  if (text.length >= width || kind === 'q') return text;
  if (flags.includes('-')) return text.padEnd(width);
  const isNumber = !'csq'.includes(kind);
  if (!flags.includes('0') || !isNumber || !/[0-9]/.test(text)) return text.padStart(width);
  const sign = /^[-+ ]?(?:0[xX])?/.exec(text)?.[0] ?? '';
  return sign + text.slice(sign.length).padStart(width - sign.length, '0');
}

/** `%q`: as a literal that Lua reads back. */
function quoted(text: string): string {
  let out = '"';
  for (const character of text.split('')) {
    if (character === '"' || character === '\\' || character === '\n') out += `\\${character}`;
    else if (character === '\r') out += '\\r';
    else if (character === '\0') out += '\\000';
    else out += character;
  }
  return `${out}"`;
}
