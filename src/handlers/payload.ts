import { z } from 'zod'

/** An object of exactly these fields; an unknown one is rejected by name. */
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

/** What a field's error says the value must be. It never includes the value, which may be a secret. */
export function takes(what: string) {
  return {
    error: ({ input }: { readonly input?: unknown }) => (input === undefined ? 'is required' : `must be ${what}`),
  }
}
