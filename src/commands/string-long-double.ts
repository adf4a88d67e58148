/**
 * The 80-bit floating point numbers that Redis's INCRBYFLOAT counts with (x87 extended precision: 64 bits of
 * mantissa, exponents to ±16,383, gradual underflow), so that results print digit for digit as Redis prints them.
 *
 * A finite number is `mantissa × 2^exponent` with |mantissa| < 2^64; every operation is done exactly on BigInts and
 * then rounded once, half to even, as the processor does.
 */

const MANTISSA_BITS = 64;
/** Exponents of the last place: of the least number above 0, and the greatest that is no overflow. */
const MIN_EXPONENT = -16_445;
const MAX_EXPONENT = 16_320;

/** Longest text that Redis takes for a number, in bytes: the greatest one prints with 4,933 digits. */
const MAX_TEXT_LENGTH = 5 * 1024 - 1;

/** Decimal exponents of the first digit beyond which a number overflows or vanishes, with a margin. */
const DECIMAL_OVERFLOW = 5_000;
const DECIMAL_UNDERFLOW = -5_100;

/** Digits after the point that Redis prints (%.17Lf, then without trailing zeros). */
const FRACTION_DIGITS = 17;

export interface LongDouble {
  readonly mantissa: bigint;
  readonly exponent: number;
  /** +1 or −1 for an infinity, 0 for a finite number. */
  readonly infinity: -1 | 0 | 1;
}

const ZERO: LongDouble = { mantissa: 0n, exponent: 0, infinity: 0 };

export function isFinite(value: LongDouble): boolean {
  return value.infinity === 0;
}

/** The number that `text` spells as C's strtold reads it, whole and in range; else undefined. NaN is none. */
export function parseLongDouble(text: string): LongDouble | undefined {
  if (text.length === 0 || text.length > MAX_TEXT_LENGTH) return undefined;
  const named = /^([+-]?)inf(?:inity)?$/i.exec(text);
  if (named !== null) return infinity(named[1] === '-' ? -1 : 1);
  const decimal = /^([+-]?)(?=\d|\.\d)(\d*)\.?(\d*)(?:e([+-]?\d+))?$/i.exec(text);
  if (decimal !== null) return parseDecimal(decimal);
  const hex = /^([+-]?)0x(?=[0-9a-f]|\.[0-9a-f])([0-9a-f]*)\.?([0-9a-f]*)(?:p([+-]?\d+))?$/i.exec(text);
  return hex === null ? undefined : parseHex(hex);
}

function parseDecimal(match: RegExpExecArray): LongDouble | undefined {
  const [, sign, whole = '', fraction = '', power = '0'] = match;
  const digits = BigInt(`${whole}${fraction}`);
  if (digits === 0n) return ZERO;
  const exponent = Number(power) - fraction.length;
  const leading = exponent + String(digits).length;
  if (leading > DECIMAL_OVERFLOW || leading < DECIMAL_UNDERFLOW) return undefined;
  const signed = sign === '-' ? -digits : digits;
  const value =
    exponent >= 0 ? round(signed * 10n ** BigInt(exponent), 1n, 0) : round(signed, 10n ** BigInt(-exponent), 0);
  return inRange(value);
}

function parseHex(match: RegExpExecArray): LongDouble | undefined {
  const [, sign, whole = '', fraction = '', power = '0'] = match;
  const digits = BigInt(`0x${whole}${fraction}`);
  if (digits === 0n) return ZERO;
  const exponent = Number(power) - 4 * fraction.length;
  if (Math.abs(exponent) > 4 * DECIMAL_OVERFLOW) return undefined;
  return inRange(round(sign === '-' ? -digits : digits, 1n, exponent));
}

/** A number that overflowed, or vanished though its text was not zero, is out of range. */
function inRange(value: LongDouble): LongDouble | undefined {
  return value.infinity !== 0 || value.mantissa === 0n ? undefined : value;
}

/** a + b; undefined when that is no number (∞ − ∞). */
export function addLongDouble(a: LongDouble, b: LongDouble): LongDouble | undefined {
  if (a.infinity !== 0 || b.infinity !== 0) {
    if (a.infinity !== 0 && b.infinity !== 0 && a.infinity !== b.infinity) return undefined;
    return a.infinity !== 0 ? a : b;
  }
  const exponent = Math.min(a.exponent, b.exponent);
  const sum = (a.mantissa << BigInt(a.exponent - exponent)) + (b.mantissa << BigInt(b.exponent - exponent));
  return round(sum, 1n, exponent);
}

/** The number with up to 17 digits after the point and no trailing zeros. Requires: finite. */
export function formatLongDouble(value: LongDouble): string {
  const scaled = value.mantissa * 10n ** BigInt(FRACTION_DIGITS);
  const units =
    value.exponent >= 0 ? scaled << BigInt(value.exponent) : divideToEven(scaled, 1n << BigInt(-value.exponent));
  const negative = units < 0n;
  const digits = String(negative ? -units : units).padStart(FRACTION_DIGITS + 1, '0');
  const whole = digits.slice(0, -FRACTION_DIGITS);
  const fraction = digits.slice(-FRACTION_DIGITS).replace(/0+$/, '');
  const text = fraction === '' ? whole : `${whole}.${fraction}`;
  return negative && text !== '0' ? `-${text}` : text;
}

/** numerator ÷ denominator × 2^exponent, rounded to a long double. Requires: denominator > 0. */
function round(numerator: bigint, denominator: bigint, exponent: number): LongDouble {
  if (numerator === 0n) return ZERO;
  const negative = numerator < 0n;
  const magnitude = negative ? -numerator : numerator;
  // The quotient gets 64 bits, or one more, which the correction below takes away.
  let last = exponent + bitLength(magnitude) - bitLength(denominator) - MANTISSA_BITS;
  let mantissa = roundAt(magnitude, denominator, exponent, Math.max(last, MIN_EXPONENT));
  if (bitLength(mantissa) > MANTISSA_BITS) {
    last++;
    mantissa = roundAt(magnitude, denominator, exponent, Math.max(last, MIN_EXPONENT));
  }
  last = Math.max(last, MIN_EXPONENT);
  if (bitLength(mantissa) > MANTISSA_BITS) {
    mantissa >>= 1n;
    last++;
  }
  if (last > MAX_EXPONENT) return infinity(negative ? -1 : 1);
  return { mantissa: negative ? -mantissa : mantissa, exponent: last, infinity: 0 };
}

/** The quotient in units of 2^last. */
function roundAt(numerator: bigint, denominator: bigint, exponent: number, last: number): bigint {
  const shift = exponent - last;
  return shift >= 0
    ? divideToEven(numerator << BigInt(shift), denominator)
    : divideToEven(numerator, denominator << BigInt(-shift));
}

/** The nearest integer to numerator ÷ denominator, the even one of two. Requires: denominator > 0. */
function divideToEven(numerator: bigint, denominator: bigint): bigint {
  const negative = numerator < 0n;
  const magnitude = negative ? -numerator : numerator;
  let quotient = magnitude / denominator;
  const twice = (magnitude % denominator) * 2n;
  if (twice > denominator || (twice === denominator && (quotient & 1n) === 1n)) quotient++;
  return negative ? -quotient : quotient;
}

function bitLength(value: bigint): number {
  return value === 0n
    ? 0
    : value.toString(16).length * 4 - Math.clz32(Number.parseInt(value.toString(16)[0] as string, 16)) + 28;
}

function infinity(sign: -1 | 1): LongDouble {
  return { mantissa: 0n, exponent: 0, infinity: sign };
}
