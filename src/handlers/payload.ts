import { z } from 'zod'

/** An object of these fields and no others; an unknown one is refused by name. */
export function strictPayload<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? `does not allow ${namesOf(issue.keys)}, only ${Object.keys(shape).join(', ')}`
        : `must be an object with ${Object.keys(shape).join(', ')}`,
  })
}

/** The most unknown fields that one error lists, and the characters of each. */
const unknownMax = 20
const nameMax = 100

function namesOf(keys: readonly string[]): string {
  const names = keys.slice(0, unknownMax).map((key) => JSON.stringify(key.slice(0, nameMax)))
  return names.join(', ') + (keys.length > unknownMax ? ` and ${keys.length - unknownMax} others` : '')
}

/** What a field says of a value that it does not take; the value itself, which may be a secret, is not in it. */
export function takes(what: string) {
  return {
    error: ({ input }: { readonly input?: unknown }) => (input === undefined ? 'is required' : `must be ${what}`),
  }
}
