import { z } from 'zod'

const headersMax = 50
const headerBytesMax = 8_192

/** Headers that belong to the connection, to HTTP itself, or to the signature. */
const ownHeaders = new Set(
  `connection content-length expect host keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding
  upgrade webhook-id webhook-signature webhook-timestamp`.split(/\s+/),
)

/**
 * The headers of a call, as its payload gives them. Not a record schema, which would check and reject each of thousands of headers before
 * they are counted.
 */
export const headers = z
  .custom<Readonly<Record<string, string>>>()
  .superRefine((given, { addIssue }) => {
    for (const [path, message] of headerFaults(given)) addIssue({ code: 'custom', path, message })
  })
  .meta({
    type: 'object',
    additionalProperties: { type: 'string' },
    description: `At most ${headerBytesMax} bytes in total. The headers of the connection and of the signature are set automatically.`,
    maxProperties: headersMax,
  })

function* headerFaults(headers: unknown): Generator<[path: string[], message: string]> {
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) {
    yield [[], 'must be an object of names and texts']
    return
  }
  if (Object.keys(headers).length > headersMax) {
    yield [[], `must have at most ${headersMax} headers`]
    return
  }
  const entries = Object.entries(headers as Readonly<Record<string, unknown>>)
  const bytes = entries.reduce(
    (sum, [name, value]) => sum + name.length + (typeof value === 'string' ? value.length : 0),
    0,
  )
  if (bytes > headerBytesMax) {
    yield [[], `must have at most ${headerBytesMax} bytes of headers`]
    return
  }
  const seen = new Set<string>()
  for (const [name, value] of entries) {
    const lowerCased = name.toLowerCase()
    if (typeof value !== 'string') yield [[name.slice(0, 100)], 'must be text']
    else if (!/^[!#$%&'*+\-.^_`|~\w]+$/.test(name)) yield [[name.slice(0, 100)], 'is not the name of a header']
    else if (ownHeaders.has(lowerCased)) yield [[name], 'is set automatically']
    else if (seen.has(lowerCased)) yield [[name], 'is given twice']
    // Latin-1 without control characters, as HTTP/1.1 carries it.
    else if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) yield [[name], 'must be one line of Latin-1 text']
    seen.add(lowerCased)
  }
}
