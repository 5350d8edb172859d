/** Characters that move a terminal's cursor, change the direction of what follows or are invisible. Tabs and line ends stay. */
const unseen = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]/gu
const isKept = (character: string) => character === '\n' || character === '\t'
const pictureOfNul = 0x2400
const pictureOfDelete = '␡'

/** A text that anybody may have written, with invisible characters made visible: ESC as ␛, a right-to-left mark as ⟨U+200F⟩. */
export function visible(text: string): string {
  return text.replace(unseen, (character) => {
    const code = character.codePointAt(0)!
    if (isKept(character)) return character
    if (code < 0x20) return String.fromCodePoint(pictureOfNul + code)
    return code === 0x7f ? pictureOfDelete : `⟨U+${code.toString(16).toUpperCase().padStart(4, '0')}⟩`
  })
}

/** Indented JSON with the invisible characters of its texts as escapes, so that a user who edits it sees them. */
export function visibleJson(value: unknown): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  return (JSON.stringify(value, null, 2) ?? '').replace(unseen, (character) =>
    isKept(character) ? character : character.split('').map(escaped).join(''),
  )
}

/** Such a text on a page: escaped, with nothing invisible, and with its direction confined to itself. */
export function Text({ of }: { readonly of: string }) {
  return <bdi>{visible(of)}</bdi>
}
