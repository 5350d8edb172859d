import { describe, expect, test } from 'vitest'
import { type Cut, cuts } from '../support/postgres-proxy.ts'
import { postgresMissing } from '../support/postgres-server.ts'
import { shareOf } from '../support/share.ts'
import { calls, walk, walkOpening } from './statements.ts'

/** Of these a share tries one kind of cut each. */
const share = ['enqueue', 'lease and start', 'apply', 'transitions']

const walks = shareOf({ share: calls.filter(({ name }) => share.includes(name)), whole: calls }).flatMap((call, turn) =>
  shareOf<readonly Cut[]>({ share: [cuts[turn % cuts.length]!], whole: cuts }).map(
    (cut) => [call.name, cut, call] as const,
  ),
)

describe.skipIf(postgresMissing)('a connection that breaks at each statement', () => {
  test.each(walks)('of %s (%s) does all of it or nothing, and it is done', async (_, cut, call) => {
    const { hits, wrong } = await walk(call, cut, shareOf({ share: 3, whole: 1 }))

    expect(wrong).toEqual([])
    expect(hits).toBeGreaterThan(0)
  })

  test.each(shareOf<readonly Cut[]>({ share: ['terminated'], whole: cuts }))(
    'of an opening (%s) leaves the database as the next opening needs it',
    async (cut) => {
      const { hits, wrong } = await walkOpening(cut, shareOf({ share: 12, whole: 1 }))

      expect(wrong).toEqual([])
      expect(hits).toBeGreaterThan(shareOf({ share: 2, whole: 5 }))
    },
  )
})
