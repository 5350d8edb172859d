import { expect, test } from 'vitest'
import { failureOf } from '../../../src/persistence/postgres/failure.ts'

test.each(['EPIPE', 'ECONNRESET', 'ECONNREFUSED', 'ENOENT', 'ETIMEDOUT', 'EHOSTUNREACH'])(
  'a connection that breaks with %s is lost: no code of the server, though one is as long',
  (code) => {
    expect(failureOf(Object.assign(new Error(`write ${code}`), { code }))).toBe('lost')
  },
)
