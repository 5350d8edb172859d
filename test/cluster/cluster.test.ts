import { expect, test } from 'vitest'
import { builtFolder } from '../support/built.ts'
import { ownServer, postgresMissing } from '../support/postgres-server.ts'
import { isWhole } from '../support/share.ts'
import { tempFolder } from '../support/temp.ts'
import { cluster } from './cluster.ts'

// A small part of `npm run test:cluster`. Of `npm test`, test/crash kills and freezes a node, and stops the server, each alone.
test.runIf(isWhole && !postgresMissing)(
  'four nodes that are killed and frozen, on a server that stops, lose no acknowledged job and end none twice',
  { timeout: 3_600_000 },
  async () => {
    const { violations, acknowledged, starts, kills } = await cluster({
      lengthMs: 40_000,
      seed: Date.now() % 2 ** 31,
      folder: tempFolder(),
      build: builtFolder,
      server: ownServer(),
      say: () => {},
    })

    expect(violations).toEqual([])
    expect(acknowledged).toBeGreaterThan(100)
    expect(starts).toBeGreaterThan(100)
    expect(kills).toBeGreaterThan(0)
  },
)
