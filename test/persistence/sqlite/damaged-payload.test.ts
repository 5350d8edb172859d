import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import { expect, test } from 'vitest'
import { UnavailableError } from '../../../src/errors.ts'
import { aJob, openStore } from '../../support/store.ts'

const pageSize = 4_096

/** Makes a page in the middle of the text `letter`, repeated, continue on a page that the file does not have. */
function damage(path: string, letter: string): void {
  const whole = Buffer.from(letter.repeat(pageSize - 4))
  const content = readFileSync(path)
  const pages = Array.from({ length: content.length / pageSize }, (_, page) => page * pageSize)
  const ofText = pages.filter((at) => content.subarray(at + 4, at + pageSize).equals(whole))
  const file = openSync(path, 'r+')
  writeSync(file, Buffer.from([0x7f, 0xff, 0xff, 0]), 0, 4, ofText[3]!)
  closeSync(file)
}

test('A long payload on a damaged page fails its attempt: it is not given back, which would go on for ever', async () => {
  const { store, path } = await openStore()
  await store.enqueue([aJob({ payload: `"${'x'.repeat(100_000)}"` })])
  await store.close()
  damage(path, 'x')

  const { store: reopened } = await openStore({ path })
  const [job] = await reopened.lease({ limit: 1, wait: false, start: true })
  const read = async () => reopened.readPayload(job!)

  await expect(read).rejects.toThrow('malformed')
  await expect(read).rejects.not.toBeInstanceOf(UnavailableError)
})
