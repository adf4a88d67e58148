/** Doubles as Redis 7.0 prints them in replies: C's `%.17g`, and `inf`, `-inf`, `nan`. */

const DIGITS = 17;
/** Enough to see whether an 18-digit text is exact: below this exponent no double has that few digits. */
const EXACT_DIGITS = 40;

/** `3` → `3`, `3.14` → `3.1400000000000001`, `1e21` → `1e+21`. */
export function doubleText(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return Object.is(value, -0) ? '-0' : String(value);
  if (Number.isNaN(value)) return 'nan';
  const sign = value < 0 ? '-' : '';
  return value === Infinity || value === -Infinity ? `${sign}inf` : sign + positiveText(Math.abs(value));
}

function positiveText(value: number): string {
  const [mantissa, exponentText] = roundHalfEven(value).split('e') as [string, string];
  const exponent = Number(exponentText);
  const digits = mantissa.replace('.', '').replace(/0+$/, '');
  if (exponent < -4 || exponent >= DIGITS) {
    const sign = exponent < 0 ? '-' : '+';
    return `${withPoint(digits, 1)}e${sign}${String(Math.abs(exponent)).padStart(2, '0')}`;
  }
  if (exponent < 0) return `0.${'0'.repeat(-exponent - 1)}${digits}`;
  return withPoint(digits.padEnd(exponent + 1, '0'), exponent + 1);
}

function withPoint(digits: string, whole: number): string {
  return digits.length > whole ? `${digits.slice(0, whole)}.${digits.slice(whole)}` : digits;
}

/** `value` in exponent form with 17 digits. JavaScript rounds an exact half up, C to the even digit. */
function roundHalfEven(value: number): string {
  const up = value.toExponential(DIGITS - 1);
  const [longer, exponent] = value.toExponential(DIGITS).split('e') as [string, string];
  const down = longer.slice(0, -1);
  const isHalf = longer.endsWith('5') && /^0*e/.test(value.toExponential(EXACT_DIGITS).slice(longer.length));
  return isHalf && Number(down.at(-1)) % 2 === 0 ? `${down}e${exponent}` : up;
}
