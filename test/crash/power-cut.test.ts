import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Patch, patchedBuild } from '../support/patched-build.ts'
import { shareOf } from '../support/share.ts'
import { tempFolder } from '../support/temp.ts'
import { Random } from '../torture/random.ts'
import { type Cut, compileShim, cutPower, finish, oftenCheckpointed, recordLoad, someMoment } from './power-cut.ts'

const connection = 'persistence/sqlite/file/connection.js'
/** SQLite's default: no flush at a commit. */
const unflushed: Patch[] = [
  { file: connection, find: "db.pragma('synchronous = FULL')", replace: "db.pragma('synchronous = NORMAL')" },
  { file: connection, find: 'const synchronousFull = 2;', replace: 'const synchronousFull = 1;' },
]
/** Callers are answered before the transaction is committed. */
const toldTooSoon: Patch = {
  file: 'persistence/sqlite/thread/store-thread.js',
  find: 'errors = commitTogether(this.#db, this.#writer, parts, this.#clock, committed, more)',
  replace: `const tellSoon = (part) => {
                const { run, done } = part;
                part.run = (now) => { part.result = run(now); done(part.result); const reply = this.#calls.takeReply(); if (reply) this.#requestPort.reply(reply); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20); return part.result; };
                part.done = () => {};
            };
            parts.forEach(tellSoon);
            errors = commitTogether(this.#db, this.#writer, parts, this.#clock, committed, () => {
                const joining = more();
                joining.forEach(tellSoon);
                return joining;
            })`,
}

const loads: readonly (readonly [string, readonly Patch[]])[] = [
  ['as it ships', []],
  ['with a checkpoint every 40 pages', [oftenCheckpointed]],
]
const faults: readonly (readonly [string, readonly Patch[]])[] = [
  ['without a flush at each commit', unflushed],
  ['where calls are answered before the commit', [toldTooSoon]],
]

const cutsPerLoad = shareOf({ share: 4, whole: 40 })
/** How many cuts it may take until a loss shows: one cut in four keeps only what was flushed. */
const cutsToLose = 100
const shim = compileShim(mkdtempSync(join(tmpdir(), 'jobmachine-')))

/** The same load on a build, with repeated power cuts, in folders 0, 1, 2, …, as often as requested. */
async function* cutAgainAndAgain(patches: readonly Patch[], seed: number, folder: string): AsyncGenerator<Cut> {
  const build = patches.length > 0 ? patchedBuild(join(folder, 'build'), patches) : resolve('dist')
  const random = new Random(seed)
  const records = await recordLoad(shim!, build, join(folder, 'load'), random)
  for (let n = 0; ; n++) yield cutPower(records, someMoment(records, random), join(folder, `${n}`), random)
}

describe.skipIf(!shim)(
  `a power cut at any moment under load${shim ? '' : ' (skipped: there is no C compiler)'}`,
  () => {
    test.each(shareOf({ share: loads.slice(1), whole: loads }))(
      'loses nothing that was acknowledged: %s',
      async (_, patches) => {
        const folder = tempFolder()
        const cuts: Cut[] = []
        for await (const cut of cutAgainAndAgain(patches, 1, folder)) if (cuts.push(cut) === cutsPerLoad) break

        expect(cuts.flatMap(({ violations }) => violations)).toEqual([])
        // If the disk has lost nothing, this proves nothing.
        expect(cuts.filter(({ dropped }) => dropped > 0).length).toBeGreaterThan(0)
        expect(await finish(resolve('dist'), join(folder, '0'))).toEqual([])
      },
    )

    test.each(shareOf({ share: faults.slice(0, 1), whole: faults }))(
      'does lose %s, which proves that these cuts would reveal a loss',
      async (_, patches) => {
        let [cuts, isLost] = [0, false]
        for await (const { violations } of cutAgainAndAgain(patches, 2, tempFolder())) {
          isLost = violations.some((what) => /is lost/.test(what))
          if (isLost || ++cuts === cutsToLose) break
        }

        expect(isLost).toBe(true)
      },
    )
  },
)
