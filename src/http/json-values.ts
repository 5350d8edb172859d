const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const openingBracket = 0x5b
const openingBrace = 0x7b

/**
 * Whether a JSON text has more than `max` members and elements, where an empty object or array counts as one more. It is known before the
 * text is parsed, at some ns a byte, while a parser and a schema spend hundreds of times as much on each.
 */
export function exceedsValues(json: Uint8Array, max: number): boolean {
  // Each needs at least one byte of its own.
  if (json.length <= max) return false
  let values = 0
  let isText = false
  for (let at = 0; at < json.length; at++) {
    const byte = json[at]
    if (isText) {
      if (byte === backslash) at++
      else if (byte === quote) isText = false
    } else if (byte === quote) isText = true
    else if (byte === comma || byte === openingBracket || byte === openingBrace) {
      if (++values > max) return true
    }
  }
  return false
}
