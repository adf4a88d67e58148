/** Progress of long work: a bar on a terminal, nothing elsewhere. */

import { Presets, SingleBar } from 'cli-progress';
import { bytesText, type Progress } from './tool.ts';

/** Redraws of the bar in a second, at most. */
const DRAWS_PER_SECOND = 10;

export const noProgress: Progress = { begin: () => {}, advance: () => {}, end: () => {} };

/** Draws on standard error, so that what is printed can be piped. */
export function terminalProgress(): Progress {
  let bar: SingleBar | undefined;
  return {
    begin(what, totalBytes) {
      bar = new SingleBar(
        {
          format: `${what} {bar} {percentage}% of ${bytesText(totalBytes)}, {eta_formatted} left`,
          fps: DRAWS_PER_SECOND,
          clearOnComplete: true,
          hideCursor: true,
        },
        Presets.shades_classic,
      );
      bar.start(totalBytes, 0);
    },
    advance(bytes) {
      bar?.increment(bytes);
    },
    end() {
      bar?.stop();
      bar = undefined;
    },
  };
}
