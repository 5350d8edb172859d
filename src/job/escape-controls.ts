/**
 * What a terminal or an editor would obey: C0, DEL and C1, the separators of lines and paragraphs, and the marks that turn the direction of a
 * text (UAX #9), so that it reads otherwise than it is.
 */
const obeyed = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu
/** The same in a line of JSON, which has escaped C0 already but for its own line ends. */
const obeyedInJson = /[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/
const allObeyedInJson = new RegExp(obeyedInJson, 'g')

/** JSON that means the same and has none of these: inside a text of it, where alone they can stand, they become `\\u009b` and the like. */
export function escapeControls(json: string): string {
  return obeyedInJson.test(json) ? json.replace(allObeyedInJson, escaped) : json
}

/** One line for a terminal, of a text that anybody may have written. */
export function escapeLine(text: string): string {
  return text.replace(obeyed, escaped)
}

/** The same of several lines. */
export function escapeLines(text: string): string {
  return text.split('\n').map(escapeLine).join('\n')
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
