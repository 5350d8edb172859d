/** One element of an XML text; `text` is all of its text, without markup. */
export interface XmlElement {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly children: readonly XmlElement[]
  readonly text: string
}

const token = /<(\/?)([A-Za-z][\w:-]*)((?:\s+[A-Za-z][\w:-]*="[^"<]*")*)\s*(\/?)>|([^<]+)/y
const reference = /&(?:#(\d+)|amp|lt|gt|quot|apos);/g

/**
 * Parses XML as strictly as a browser parses a picture, but less of it: no doctype, comments, CDATA or instructions. Throws if it is not
 * well-formed.
 */
export function parseXml(xml: string): XmlElement {
  const root: Mutable = { name: '', attributes: {}, children: [], text: '' }
  const open = [root]
  token.lastIndex = 0
  while (token.lastIndex < xml.length) {
    const at = token.lastIndex
    const match = token.exec(xml)
    if (!match) throw new Error(`no XML at ${at}: ${xml.slice(at, at + 60)}`)
    const [, closing, name = '', attributes = '', empty, text] = match
    const innermost = open.at(-1)!
    if (text !== undefined) for (const element of open) element.text += unescaped(text)
    else if (closing) {
      if (innermost.name !== name) throw new Error(`</${name}> closes <${innermost.name}>`)
      open.pop()
    } else {
      const element: Mutable = { name, attributes: attributesOf(attributes), children: [], text: '' }
      innermost.children.push(element)
      if (!empty) open.push(element)
    }
  }
  if (open.length !== 1) throw new Error(`<${open.at(-1)!.name}> is not closed`)
  if (root.children.length !== 1) throw new Error(`there are ${root.children.length} roots`)
  return root.children[0]!
}

/** The element and all elements below it. */
export function elementsOf(element: XmlElement): XmlElement[] {
  return [element, ...element.children.flatMap(elementsOf)]
}

/** The one with that id. */
export function byId(root: XmlElement, id: string): XmlElement {
  const found = elementsOf(root).filter(({ attributes }) => attributes.id === id)
  if (found.length !== 1) throw new Error(`${found.length} elements have the id ${id}`)
  return found[0]!
}

interface Mutable {
  name: string
  attributes: Record<string, string>
  children: Mutable[]
  text: string
}

function attributesOf(text: string): Record<string, string> {
  const attributes: Record<string, string> = {}
  for (const [, name, value] of text.matchAll(/([A-Za-z][\w:-]*)="([^"]*)"/g)) {
    if (name! in attributes) throw new Error(`${name} is given twice`)
    attributes[name!] = unescaped(value!)
  }
  return attributes
}

function unescaped(text: string): string {
  const known: Record<string, string> = { '&amp;': '&', '&lt;': '<', '&gt;': '>', '&quot;': '"', '&apos;': "'" }
  if (text.replace(reference, '').includes('&')) throw new Error(`a bare & in ${text}`)
  return text.replace(reference, (whole, code) => (code ? String.fromCodePoint(Number(code)) : known[whole]!))
}
