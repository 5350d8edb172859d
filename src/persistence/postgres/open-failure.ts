import { DatabaseUnusableError, UnavailableError } from '../../errors.ts'
import { failureOf } from './failure.ts'

const signIn =
  'correct the user and the password in the address (DATABASE_URL), in PGUSER and PGPASSWORD, or in the file .pgpass'

/** What keeps a process from using a database, for whoever starts it: what is wrong, and what to do. Other errors pass as they are. */
export function toOpenError(error: unknown): unknown {
  const { code, message = '' } = Object(error) as Partial<Record<string, string>>
  const unusable = (text: string) => new DatabaseUnusableError(text, { cause: error })
  if (code === '28P01' || code === '28000') return unusable(`the server refuses the sign-in: ${message}; ${signIn}`)
  if (/client password must be a string/.test(message))
    return unusable(`the server asks for a password, and there is none; ${signIn}`)
  if (code === '3D000') {
    const create = `CREATE DATABASE ${/"(.*)"/.exec(message)?.[0] ?? 'app'} ENCODING 'UTF8' TEMPLATE template0`
    return unusable(`${message}; correct the address (DATABASE_URL), or make it: ${create}`)
  }
  if (failureOf(error) !== 'lost' && failureOf(error) !== 'refused') return error
  return new UnavailableError(`the database cannot be reached: ${message}`, { cause: error })
}
