const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const openingBracket = 0x5b
const openingBrace = 0x7b

/**
 * Whether a text of JSON has more than `max` members and elements, an empty object or array counting as one more: known before it is parsed,
 * at some ns a byte. What a parser and a schema do for each costs hundreds of times that of its bytes.
 */
export function exceedsValues(json: Uint8Array, max: number): boolean {
  // Each takes a byte that is none of its own.
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
