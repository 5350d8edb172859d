import { z } from 'zod'

/** An object of these fields and no others; an unknown one is refused by name. */
export function strictPayload<Shape extends z.ZodRawShape>(shape: Shape) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? `takes no ${issue.keys.map((key) => JSON.stringify(key)).join(', ')}, only ${Object.keys(shape).join(', ')}`
        : `takes an object of ${Object.keys(shape).join(', ')}`,
  })
}

/** What a field says of a value that it does not take; the value itself, which may be a secret, is not in it. */
export function takes(what: string) {
  return { error: ({ input }: { readonly input?: unknown }) => (input === undefined ? 'is required' : `takes ${what}`) }
}
