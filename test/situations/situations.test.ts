import { appendFileSync, writeFileSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { killChildren } from '../support/child.ts'
import { isWhole } from '../support/share.ts'
import { onThreads } from '../support/store-here.ts'
import { ended } from './ended.ts'
import { waiting } from './waiting.ts'

afterAll(killChildren)

/** The file into which what is shown and what is true are written for a reader: `SITUATIONS=FILE npx vitest run test/situations`. */
const file = process.env.SITUATIONS
if (file) for (const path of [file, `${file}.answers`]) writeFileSync(path, '')

const situations = [...waiting, ...ended]
/** Those that block a process for seconds: a share leaves them out. */
const long = ['the process stood still', 'another job blocked the event loop']

const title = 'what is seen of a job that somebody wonders at names the cause first and the right action second:'

describe.each([true, undefined])(title, (needsThreads) => {
  if (needsThreads) onThreads()

  test.each(
    situations.filter(
      (situation) => situation.onThreads === needsThreads && (isWhole || !long.includes(situation.name)),
    ),
  )('$name', async ({ name, cause, action, says, advises, build }) => {
    const { summary, advice, page } = await build()

    if (file) {
      const number = situations.findIndex((situation) => situation.name === name) + 1
      appendFileSync(file, `===== ${number} =====\n\n${page}\n\n`)
      appendFileSync(`${file}.answers`, `${number}. ${name}\n   cause: ${cause}\n   action: ${action}\n\n`)
    }
    expect(summary).toMatch(says)
    expect(advice).toMatch(advises)
    expect(timeless(page)).toContain(timeless(`${summary}\nWhat to do: ${advice}`))
  })
})

/** The page of a running server is rendered a moment later than the explanation. */
function timeless(text: string): string {
  return text.replace(/[\d.,]+ (ms|s|min|h|d)( \d+ (s|min|h))?/g, 'T')
}
