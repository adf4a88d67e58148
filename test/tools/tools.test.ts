/** check, dump and repair on directories that the engine wrote to the simulated disk, sound and damaged. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeFooter, FOOTER_BYTES } from '../../src/engine/sstable-format.ts';
import { isToolName } from '../../src/tools/tool-names.ts';
import { DIRECTORY } from '../sim/engine-open.ts';
import { fill, get, key, machine, open, paths, tool, value, wrongKeys } from './tool-fixture.ts';

void test('the tools know their names and explain themselves', async () => {
  assert.ok(isToolName('check') && !isToolName('kvorum.conf') && !isToolName(undefined));
  const on = machine(1);
  for (const argv of [['check'], ['repair', 'a', 'b'], ['check', 'a', '--records'], ['fly', 'a']]) {
    const { text, code } = await tool(on, ...argv);
    assert.equal(code, 2, argv.join(' '));
    assert.match(text, /kvorum check DIR/);
  }
  assert.equal((await tool(on, 'check', '/nowhere')).code, 1);
});

void test('a sound directory is in order, is dumped, and is left alone by repair', async () => {
  const on = machine(2);
  const expected = await fill(on);
  assert.ok(paths(on, /\.sst$/).length > 2);
  const before = on.sim.paths.map((path) => Buffer.from(on.sim.contentOf(path)).toString('base64'));
  const checked = await tool(on, 'check', DIRECTORY);
  assert.equal(checked.code, 0, checked.text);
  assert.match(checked.text, /manifest: \d+ tables.*\n[\s\S]*everything is in order/);
  const dumped = await tool(on, 'dump', DIRECTORY, '--records');
  assert.equal(dumped.code, 0, dumped.text);
  assert.match(dumped.text, /level \d+: /);
  assert.match(dumped.text, /put "key-00\d+" = "\d:\d+:x+"/);
  assert.match(dumped.text, /range tombstone "key-00050" to "key-00060"|delete range "key-00050" = "key-00060"/);
  const repaired = await tool(on, 'repair', DIRECTORY);
  assert.equal(repaired.code, 0);
  assert.match(repaired.text, /nothing had to be repaired/);
  assert.deepEqual(
    on.sim.paths.map((path) => Buffer.from(on.sim.contentOf(path)).toString('base64')),
    before,
  );
  assert.equal(await wrongKeys(on, expected), 0);
});

void test('a flipped bit anywhere in a table is found, and repair keeps what is sound', async () => {
  let losses = 0;
  for (let seed = 0; seed < 12; seed++) {
    const on = machine(100 + seed);
    const expected = await fill(on);
    const path = on.random.pick(paths(on, /\.sst$/));
    on.sim.corrupt(path, on.random.below(on.sim.contentOf(path).length), 1 << on.random.below(8));
    const name = path.slice(path.lastIndexOf('/') + 1);
    const checked = await tool(on, 'check', DIRECTORY);
    assert.equal(checked.code, 1, `seed ${seed}, ${name}: ${checked.text}`);
    assert.ok(checked.text.includes(name), checked.text);
    const repaired = await tool(on, 'repair', DIRECTORY);
    assert.equal(repaired.code, 0, repaired.text);
    assert.ok(on.sim.paths.includes(`${DIRECTORY}/lost/${name}`));
    const again = await tool(on, 'check', DIRECTORY);
    assert.equal(again.code, 0, `seed ${seed}: ${again.text}`);
    const wrong = await wrongKeys(on, expected);
    if (wrong > 0) assert.match(repaired.text, /lost: /);
    losses += wrong;
  }
  assert.ok(losses > 0, 'some damage costs records');
});

void test('a damaged filter or damaged properties cost nothing: repair makes them anew', async () => {
  for (const piece of ['filter', 'properties'] as const) {
    const on = machine(150);
    const expected = await fill(on);
    let damaged = 0;
    for (const path of paths(on, /^\/\d+\.sst$/)) {
      const bytes = on.sim.contentOf(path);
      const footer = decodeFooter(bytes.slice(-FOOTER_BYTES), Number(path.slice(-10, -4)), bytes.length);
      const { offset, length } = footer[piece];
      if (length === 0) continue;
      on.sim.corrupt(path, offset + (damaged % length), 1);
      damaged++;
    }
    assert.ok(damaged > 1);
    const repaired = await tool(on, 'repair', DIRECTORY);
    assert.equal(repaired.code, 0, repaired.text);
    assert.doesNotMatch(repaired.text, /^lost:/m);
    assert.equal((await tool(on, 'check', DIRECTORY)).code, 0);
    assert.equal(await wrongKeys(on, expected), 0, `${piece}: ${repaired.text}`);
  }
});

void test('a missing or damaged manifest is made anew from the tables and WALs, and nothing is lost', async () => {
  for (let seed = 0; seed < 8; seed++) {
    const on = machine(200 + seed);
    const expected = await fill(on);
    const life = on.loop.life();
    const disk = on.sim.mount(life);
    for (const path of paths(on, /^\/manifest/)) {
      if (seed % 2 === 0) disk.unlink(path);
      else on.sim.corrupt(path, on.random.below(on.sim.contentOf(path).length), 1);
    }
    disk.syncDirectory(DIRECTORY);
    assert.equal((await tool(on, 'check', DIRECTORY)).code, 1);
    const repaired = await tool(on, 'repair', DIRECTORY);
    assert.equal(repaired.code, 0, repaired.text);
    assert.match(repaired.text, /the manifest is made anew/);
    const again = await tool(on, 'check', DIRECTORY);
    assert.equal(again.code, 0, again.text);
    assert.equal(await wrongKeys(on, expected), 0, `seed ${seed}: ${repaired.text}`);
  }
});

void test('a damaged WAL is cut where the damage is; the records before it stay', async () => {
  const on = machine(300);
  const expected = await fill(on);
  for (let round = 0; round < 3; round++) {
    const engine = await open(on);
    for (let index = 0; index < 10; index++) {
      const batch = engine.newBatch();
      batch.put(key(10 * round + index), value(10 * round + index, 4));
      engine.write(batch);
      await on.loop.advance(50);
    }
    on.life.kill();
    on.sim.kill();
  }
  const wal = paths(on, /wal-/).find((path) => Buffer.from(on.sim.contentOf(path)).includes(Buffer.from('4:15:')));
  assert.ok(wal !== undefined, 'the records are in a WAL');
  const at = Buffer.from(on.sim.contentOf(wal)).indexOf(Buffer.from('4:15:'));
  on.sim.corrupt(wal, at, 1);
  assert.match((await tool(on, 'check', DIRECTORY)).text, /problem: .*damaged at offset/);
  const repaired = await tool(on, 'repair', DIRECTORY);
  assert.equal(repaired.code, 0, repaired.text);
  assert.match(repaired.text, /lost: wal-\d+\.log/);
  assert.equal((await tool(on, 'check', DIRECTORY)).code, 0);
  const engine = await open(on);
  for (let index = 0; index < 30; index++) {
    const wanted = index < 15 ? value(index, 4) : expected.get(index);
    assert.deepEqual(
      await get(on, engine, index).then((bytes) => bytes && Buffer.from(bytes)),
      wanted && Buffer.from(wanted),
    );
  }
  await on.loop.settle(engine.close());
});
