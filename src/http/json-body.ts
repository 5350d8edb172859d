import type { IncomingHttpHeaders } from 'node:http'
import { InvalidInputError } from '../errors.ts'
import { exceedsValues } from './json-values.ts'
import { HttpError } from './problem.ts'

/** Throws `HttpError` (415) unless a body is in the type that is expected, in UTF-8 and not compressed. */
export function assertContentType(headers: IncomingHttpHeaders, expected: string): void {
  const { 'content-type': contentType, 'content-encoding': encoding } = headers
  // The usual form, which needs no parsing.
  if (contentType === expected && encoding === undefined) return
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    throw new HttpError(415, 'unsupported_media_type', 'the body is encoded; only identity is allowed', {
      'accept-encoding': 'identity',
    })
  }
  const [type, ...parameters] = (contentType ?? '')
    .toLowerCase()
    .split(';')
    .map((part) => part.trim())
  const charset = parameters
    .find((parameter) => parameter.startsWith('charset='))
    ?.slice('charset='.length)
    .replaceAll('"', '')
  if (type === expected && (charset === undefined || charset === 'utf-8' || charset === 'utf8')) return
  const got = contentType === undefined ? 'none' : JSON.stringify(contentType)
  throw new HttpError(415, 'unsupported_media_type', `the content type is ${got}; it must be ${expected} in UTF-8`)
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * The value of a JSON text. Throws `HttpError` (413) or `InvalidInputError`. A byte order mark is skipped, and the last of several members with one name counts, as with `fetch`
 * and `JSON.parse`.
 */
export function parseJson(bytes: Buffer, valuesMax: number): unknown {
  if (exceedsValues(bytes, valuesMax)) {
    const message = `the body has more than ${valuesMax} members and elements, the limit for one request; send fewer jobs at once`
    throw new HttpError(413, 'payload_too_large', message)
  }
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    throw invalid('the body is not UTF-8')
  }
  if (text.trim() === '') throw invalid('the body is empty; it must be JSON')
  try {
    return JSON.parse(text)
  } catch (error) {
    // V8 quotes the text around the fault, which may be long and is the caller's.
    const at = /at position \d+( \(line \d+ column \d+\))?/.exec(error instanceof Error ? error.message : '')
    throw invalid(`the body is not JSON${at ? `: it breaks off ${at[0]}` : ''}`)
  }
}

function invalid(message: string): InvalidInputError {
  return new InvalidInputError([{ path: '', message }], undefined, 'invalid_json')
}
