export function xxh3(value: Uint8Array): string {
  return value.length.toString(16).padStart(16, '0');
}
