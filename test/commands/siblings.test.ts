import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DamagedError } from '../../src/cluster/byte-cursor.ts';
import { OK } from '../../src/commands/reply.ts';
import { decodeSiblings, encodeSiblings, visibleSibling } from '../../src/repl/sibling-codec.ts';
import { MAX_SIBLINGS } from '../../src/repl/siblings.ts';
import { show } from '../support/command-runner.ts';
import { FakeCluster } from '../support/fake-cluster.ts';

async function withSiblings(): Promise<FakeCluster> {
  const cluster = new FakeCluster();
  assert.equal(await cluster.run(1, 'KV.POLICY', 'SET', 'cart:', 'CONFLICT', 'siblings'), OK);
  return cluster;
}

async function read(cluster: FakeCluster, node: number, key: string): Promise<{ context: string; values: string[] }> {
  const entries = show(await cluster.run(node, 'KV.GET', key)) as [string, unknown][];
  const { context, values } = Object.fromEntries(entries) as { context: string; values: string[] };
  return { context, values };
}

void test('two writes of one context stay side by side until somebody has seen both', async () => {
  const cluster = await withSiblings();
  const key = 'cart:1';
  assert.deepEqual(await read(cluster, 1, key), { context: '', values: [] });
  await cluster.run(1, 'KV.SET', key, '', 'milk');
  const { context } = await read(cluster, 2, key);
  await cluster.run(2, 'KV.SET', key, context, 'milk, bread');
  await cluster.run(3, 'KV.SET', key, context, 'milk, eggs');
  for (const node of [1, 2, 3]) {
    assert.deepEqual((await read(cluster, node, key)).values.sort(), ['milk, bread', 'milk, eggs']);
  }
  const shown = show(await cluster.run(1, 'GET', key));
  assert.equal(shown, (await read(cluster, 3, key)).values[0], 'GET shows the newest, the same one everywhere');
  assert.equal(await cluster.run(2, 'STRLEN', key), (shown as string).length);
  const both = await read(cluster, 1, key);
  await cluster.run(1, 'KV.SET', key, both.context, 'milk, bread, eggs');
  assert.deepEqual((await read(cluster, 2, key)).values, ['milk, bread, eggs']);
});

void test('KV.SET returns a context that has seen what it wrote', async () => {
  const cluster = await withSiblings();
  const context = show(await cluster.run(1, 'KV.SET', 'cart:1', '', 'a')) as string;
  await cluster.run(2, 'KV.SET', 'cart:1', context, 'b');
  assert.deepEqual((await read(cluster, 3, 'cart:1')).values, ['b']);
});

void test('KV.DEL removes what its context has seen, DEL and SET everything', async () => {
  const cluster = await withSiblings();
  const key = 'cart:1';
  await cluster.run(1, 'KV.SET', key, '', 'a');
  const { context } = await read(cluster, 1, key);
  await cluster.run(2, 'KV.SET', key, '', 'b');
  assert.equal(await cluster.run(3, 'KV.DEL', key, context), 1);
  assert.deepEqual((await read(cluster, 1, key)).values, ['b']);
  await cluster.run(2, 'KV.SET', key, '', 'c');
  assert.equal(await cluster.run(1, 'SET', key, 'all'), OK);
  assert.deepEqual((await read(cluster, 2, key)).values, ['all']);
  assert.equal(await cluster.run(3, 'APPEND', key, '!'), 4);
  assert.deepEqual((await read(cluster, 2, key)).values, ['all!']);
  assert.equal(await cluster.run(1, 'EXPIRE', key, '100'), 1);
  assert.deepEqual((await read(cluster, 2, key)).values, ['all!']);
  assert.equal(await cluster.run(1, 'DEL', key), 1);
  assert.deepEqual(await read(cluster, 2, key), { context: '', values: [] });
  assert.equal(await cluster.run(1, 'KV.DEL', key, context), 0);
});

void test('many writers that never read are refused in the end; wrong contexts and other keys are errors', async () => {
  const cluster = await withSiblings();
  for (let i = 0; i < MAX_SIBLINGS; i++) await cluster.run((i % 3) + 1, 'KV.SET', 'cart:1', '', String(i));
  assert.equal((await read(cluster, 1, 'cart:1')).values.length, MAX_SIBLINGS);
  assert.match(show(await cluster.run(1, 'KV.SET', 'cart:1', '', 'more')) as string, /^-ERR this key has 100/);
  const { context } = await read(cluster, 1, 'cart:1');
  assert.match(show(await cluster.run(1, 'KV.SET', 'cart:2', context, 'x')) as string, /^-ERR this is no context/);
  assert.match(show(await cluster.run(1, 'KV.SET', 'other', '', 'x')) as string, /^-ERR the policy of this key/);
  assert.equal(await cluster.run(1, 'SET', 'other', 'x'), OK);
  assert.deepEqual((await read(cluster, 2, 'other')).values, ['x'], 'a key without siblings has one value');
});

const version = fc.record({ stamp: fc.maxSafeNat(), actor: fc.nat(0xffff_ffff) }, { noNullPrototype: true });
const siblings = fc.record(
  {
    vector: fc.array(version, { maxLength: 4 }),
    values: fc.array(
      fc.record(
        { dot: version, expiresAtMs: fc.maxSafeNat(), value: fc.uint8Array({ maxLength: 20 }) },
        { noNullPrototype: true },
      ),
      { minLength: 1, maxLength: 4 },
    ),
  },
  { noNullPrototype: true },
);

void test('the bytes of siblings come back as they were; others are damage', () => {
  fc.assert(
    fc.property(siblings, (row) => {
      const bytes = encodeSiblings(row);
      const plain = Uint8Array.from(bytes);
      const read = decodeSiblings(plain);
      assert.deepEqual(read.vector, row.vector);
      assert.deepEqual(
        read.values.map((each) => ({ ...each, value: Uint8Array.from(each.value) })),
        row.values,
      );
      assert.deepEqual(Uint8Array.from(visibleSibling(plain)), row.values.at(-1)?.value);
      for (let end = 0; end < plain.length; end++) {
        assert.throws(() => decodeSiblings(plain.subarray(0, end)), DamagedError);
      }
    }),
  );
});
