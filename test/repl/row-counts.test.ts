import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { headFlag } from '../../src/repl/head.ts';
import { RowCounts } from '../../src/repl/row-counts.ts';

type Event = { readonly kind: 'born' | 'died' | 'flush' | 'freeze'; readonly database: number; readonly slot: number };

const events = fc.array(
  fc.record<Event>({
    kind: fc.constantFrom('born', 'born', 'born', 'died', 'flush', 'freeze'),
    database: fc.nat(2),
    slot: fc.constantFrom(0, 5, 16383),
  }),
  { maxLength: 60 },
);

test('replaying the WALs after any number of frozen memtables restores the counts', () => {
  fc.assert(
    fc.property(events, fc.nat(3), (history, walsKept) => {
      const counts = new RowCounts();
      // What a disk would hold: for each memtable its records; a frozen one ends with the written counts.
      const memtables: (Event | Uint8Array)[][] = [[]];
      for (const event of history) {
        const current = memtables.at(-1) as (Event | Uint8Array)[];
        if (event.kind === 'freeze') {
          current.push(counts.encode());
          memtables.push([]);
          continue;
        }
        if (event.kind === 'died' && counts.inSlot(event.database, event.slot) === 0) continue;
        current.push(event);
        if (event.kind === 'flush') counts.clear(event.database);
        else counts.add(event.database, event.slot, event.kind === 'born' ? 1 : -1);
      }
      const flushed = memtables.slice(0, Math.max(0, memtables.length - 1 - walsKept));
      const kept = memtables.slice(flushed.length);
      const recovered = new RowCounts();
      for (const record of kept.flat()) {
        if (record instanceof Uint8Array) recovered.replayCounts(record);
        else if (record.kind === 'flush') recovered.clear(record.database);
        else recovered.replayHead(record.database, record.slot, record.kind === 'born' ? headFlag.BORN : headFlag.DIED);
      }
      recovered.settle(
        flushed
          .flat()
          .filter((record) => record instanceof Uint8Array)
          .at(-1),
      );
      for (let database = 0; database < 3; database++) {
        assert.equal(recovered.total(database), counts.total(database));
        for (const slot of [0, 5, 16383]) assert.equal(recovered.inSlot(database, slot), counts.inSlot(database, slot));
      }
    }),
  );
});
