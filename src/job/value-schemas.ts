import { z } from 'zod'

const keyLengthMax = 255
const keyTakes = `must be 1 to ${keyLengthMax} printable characters`
/** A key that a caller has made up. */
export const keyText = z.string(keyTakes).regex(new RegExp(`^\\P{C}{1,${keyLengthMax}}$`, 'u'), keyTakes)

/** The longest delay: a hundred years. */
export const delayMaxMs = 3_155_760_000_000

export function wholeNumber(min: number, max: number, takes = `must be a whole number from ${min} to ${max}`) {
  return z.int(takes).min(min, takes).max(max, takes)
}
