/**
 * Characters that a terminal or an editor would obey: C0, DEL and C1, line and paragraph separators, and the marks that change the
 * direction of text (UAX #9), so that it reads differently.
 */
const obeyed = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu
/** The same in a line of JSON, where C0 is already escaped except for line ends. */
const obeyedInJson = /[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/
const allObeyedInJson = new RegExp(obeyedInJson, 'g')

/** The same JSON without these characters: inside strings, the only place where they can occur, they become `\\u009b` and the like. */
export function escapeControls(json: string): string {
  return obeyedInJson.test(json) ? json.replace(allObeyedInJson, escaped) : json
}

/** One line for a terminal, from a text that anybody may have written. */
export function escapeLine(text: string): string {
  return text.replace(obeyed, escaped)
}

/** The same for several lines. */
export function escapeLines(text: string): string {
  return text.split('\n').map(escapeLine).join('\n')
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
