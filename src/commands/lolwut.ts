/** LOLWUT: a ring of nodes, each with its share of the keyspace, drawn anew each time. */

const COLUMNS = 46;
const ROWS = 17;
const NODES = 'abcdefg';

/** `random`: uniform in [0, 1). */
export function lolwutText(version: string, random: () => number): string {
  const canvas = Array.from({ length: ROWS }, () => Array.from({ length: COLUMNS }, () => ' '));
  const count = 3 + Math.floor(random() * (NODES.length - 2));
  const tokens = Array.from({ length: count * 4 }, (_, i) => ({ at: random(), node: NODES[i % count] ?? '.' }));
  tokens.sort((a, b) => a.at - b.at);
  const steps = 200;
  for (let step = 0; step < steps; step++) {
    const at = step / steps;
    const owner = tokens.find((token) => token.at >= at) ?? tokens[0];
    const x = Math.round((COLUMNS / 2 - 2) * Math.sin(2 * Math.PI * at) + COLUMNS / 2);
    const y = Math.round((ROWS / 2 - 1) * -Math.cos(2 * Math.PI * at) + ROWS / 2 - 0.5);
    const row = canvas[y];
    if (row !== undefined) row[x] = owner?.node ?? '.';
  }
  const drawing = canvas.map((row) => row.join('').trimEnd()).join('\n');
  return `${drawing}\n\n${count} nodes share a ring. Kvorum ver. ${version}\n`;
}
