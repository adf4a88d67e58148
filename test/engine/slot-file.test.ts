import assert from 'node:assert/strict';
import { test } from 'node:test';
import { utf8 } from '../../src/bytes.ts';
import { readSlots, SlotFile } from '../../src/engine/slot-file.ts';
import { SimDisk } from '../sim/disk.ts';
import { EventLoop } from '../sim/event-loop.ts';
import { Prng } from '../sim/prng.ts';
import { MemoryDisk } from '../support/memory-disk.ts';

const MAGIC = 'KVORSLT';

function newest(disk: Parameters<typeof readSlots>[0]): string | undefined {
  const valid = readSlots(disk, '/d/slot', MAGIC).filter((slot) => slot.state === 'valid');
  const slot = valid.sort((a, b) => b.generation - a.generation)[0];
  return slot === undefined ? undefined : Buffer.from(slot.content).toString();
}

test('the last content counts, also when it is shorter, after any number of opens', async () => {
  const disk = new MemoryDisk();
  for (const text of ['first', 'the second, which is longer', 'x', '', 'again']) {
    const file = SlotFile.open(disk, '/d/slot', MAGIC);
    await file.write(utf8(text));
    file.keep();
    assert.equal(newest(disk), text);
  }
  assert.equal(disk.openFiles, 0);
  assert.deepEqual(disk.list('/d'), ['slot-0', 'slot-1']);
});

test('what is not kept is written over by the next content; the one before it stays', async () => {
  const disk = new MemoryDisk();
  const file = SlotFile.open(disk, '/d/slot', MAGIC);
  await file.write(utf8('one'));
  file.keep();
  await file.write(utf8('refused'));
  await file.write(utf8('refused again'));
  const contents = readSlots(disk, '/d/slot', MAGIC).map((slot) => Buffer.from(slot.content).toString());
  assert.deepEqual(contents.sort(), ['one', 'refused again']);
  await file.write(utf8('two'));
  file.keep();
  assert.equal(newest(disk), 'two');
});

test('damage anywhere in a file is seen, and the other file is what is left', async () => {
  const disk = new MemoryDisk();
  const file = SlotFile.open(disk, '/d/slot', MAGIC);
  for (const text of ['one', 'two']) {
    await file.write(utf8(text));
    file.keep();
  }
  for (const path of ['/d/slot-0', '/d/slot-1']) {
    const whole = disk.bytes(path).slice();
    for (let at = 0; at < whole.length; at++) {
      const flipped = whole.slice();
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8));
      disk.put(path, flipped);
      const slots = readSlots(disk, '/d/slot', MAGIC);
      assert.equal(slots.filter((slot) => slot.state === 'damaged').length, 1, `byte ${at} of ${path}`);
      assert.equal(slots.filter((slot) => slot.state === 'valid').length, 1, `byte ${at} of ${path}`);
    }
    disk.put(path, whole);
  }
  assert.equal(newest(disk), 'two');
});

test('the power goes at every operation of a write: the content is the old one or the new one', async () => {
  for (let operation = 0; operation < 12; operation++) {
    for (let seed = 0; seed < 8; seed++) {
      const loop = new EventLoop();
      const sim = new SimDisk({ loop, random: new Prng(100 * operation + seed) });
      const life = loop.life();
      const disk = sim.mount(life);
      disk.makeDirectory('/d');
      const file = SlotFile.open(disk, '/d/slot', MAGIC);
      await loop.settle(file.write(utf8('a'.repeat(3000))));
      file.keep();
      let isDone = false;
      sim.crashAtOperation = sim.operations + operation;
      const write = file.write(utf8('b'.repeat(2000))).then(() => {
        isDone = !sim.crashed;
      });
      await loop.settle(write);
      life.kill();
      sim.powerCut();
      const after = newest(sim.mount(loop.life()))?.[0];
      assert.ok(
        isDone ? after === 'b' : after === 'a' || after === 'b',
        `operation ${operation}, seed ${seed}: ${after}`,
      );
    }
  }
});
