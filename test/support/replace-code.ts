import { parseAst } from 'vitest/node'

/** A node of ESTree, or a list of them, or what else stands in a node. */
// biome-ignore lint/suspicious/noExplicitAny: nodes are only compared
export type Tree = any

/** Where a piece of code was found, and the names that the variables of the piece have there. */
export interface Place {
  readonly start: number
  readonly end: number
  readonly names: ReadonlyMap<string, string>
}

/**
 * Replaces a piece of JavaScript: an expression, statements, members of an object or a class, or the condition of an `if`, written
 * `if (condition)`. The piece is found by its structure, whatever the format and the comments; and, if no place has its exact names, whatever
 * the names of its variables. The replacement then gets the names that are there. Throws if the piece is not found exactly once.
 */
export function replaceCode(text: string, find: string, replace: string): string {
  const pieces = piecesOf(find)
  const program = parseAst(text)
  const places = (exactly: boolean) => pieces.flatMap((piece) => placesOf(piece, program, exactly))
  return replaceOnce(text, find, places, ({ names }) => replacementOf(pieces[0]!, withNames(replace, names)))
}

/** Replaces what is at the one place with exactly the names of the piece, or, if there is none, at the one with any names. */
export function replaceOnce(
  text: string,
  find: string,
  placesFor: (exactly: boolean) => readonly Place[],
  replacement: (place: Place) => string,
): string {
  const exact = placesFor(true)
  const places = exact.length > 0 ? exact : placesFor(false)
  const [place] = places
  if (!place || places.length > 1) throw new Error(`this code is there ${places.length} times, not once: ${find}`)
  return text.slice(0, place.start) + replacement(place) + text.slice(place.end)
}

function replacementOf({ kind }: Piece, code: string): string {
  // A statement that is removed may be the only one where one is needed.
  if (kind === 'statements' && code === '') return ';'
  if (kind !== 'condition') return code
  const [{ nodes, offset }] = piecesOf(code) as [Piece]
  return code.slice(nodes[0].start - offset, nodes[0].end - offset)
}

type Kind = 'expression' | 'statements' | 'members' | 'condition'

interface Piece {
  readonly kind: Kind
  readonly nodes: readonly Tree[]
  /** How much was put before it to parse it. */
  readonly offset: number
}

/** What can be put around a piece to make a program, and where in that program the piece is. */
const surroundings: readonly (readonly [Kind, before: string, after: string, inside: (program: Tree) => Tree[]])[] = [
  ['expression', '(', '\n)', ({ body }) => [body[0].expression]],
  ['statements', '', '', ({ body }) => body],
  ['statements', 'async function* f() { for (;;) {', '\n} }', ({ body }) => body[0].body.body[0].body.body],
  ['members', '({', '\n})', ({ body }) => body[0].expression.properties],
  ['members', 'class C {', '\n}', ({ body }) => body[0].body.body],
  ['condition', '', '\n;', ({ body }) => [body[0].test]],
]

/** More than one if it may be a member of an object or of a class. */
function piecesOf(code: string): readonly Piece[] {
  const pieces: Piece[] = []
  for (const [kind, before, after, inside] of surroundings) {
    const [known] = pieces
    if (known && (known.kind !== kind || kind !== 'members')) continue
    try {
      const nodes = inside(parseAst(before + code + after))
      // What looks like a label is the name of a property.
      if (nodes[0]?.type !== 'LabeledStatement') pieces.push({ kind, nodes, offset: before.length })
    } catch {
      // It is a piece of another kind.
    }
  }
  if (pieces.length === 0) throw new Error(`this is not an expression, a statement or a member: ${code}`)
  return pieces
}

function placesOf({ kind, nodes }: Piece, program: Tree, exactly: boolean): Place[] {
  const places: Place[] = []
  const compare = (found: readonly Tree[]) => {
    const names = new Map<string, string>()
    if (!matches(nodes, found, exactly ? null : names)) return
    places.push({ start: found[0].start, end: found.at(-1).end, names })
  }
  for (const tree of treesIn(program)) {
    if (kind === 'condition' && tree.type === 'IfStatement') compare([tree.test])
    if (kind === 'expression' && !Array.isArray(tree)) compare([tree])
    if (kind === 'statements' && nodes.length === 1 && !Array.isArray(tree)) compare([tree])
    const isList = (kind === 'members' || (kind === 'statements' && nodes.length > 1)) && Array.isArray(tree)
    for (let at = 0; isList && at + nodes.length <= tree.length; at++) compare(tree.slice(at, at + nodes.length))
  }
  return places
}

/** A tree, and all nodes and lists in it. */
export function* treesIn(tree: Tree): Generator<Tree> {
  if (typeof tree !== 'object' || tree === null) return
  yield tree
  for (const part of Object.values(tree)) yield* treesIn(part)
}

/** Where it stands, how it is written, and what follows from the rest. */
const noStructure = new Set(['start', 'end', 'raw', 'directive', 'shorthand'])

/** Whether two trees are alike. `names`: variables may have others, which are added; null: they may not. */
export function matches(wanted: Tree, found: Tree, names: Map<string, string> | null): boolean {
  if (typeof wanted !== 'object' || wanted === null || wanted instanceof RegExp)
    return Object.is(wanted, found) || `${wanted}` === `${found}`
  if (typeof found !== 'object' || found === null || wanted.type !== found.type) return false
  if (wanted.length !== found.length) return false
  if (names && wanted.type === 'Identifier') return isNamed(wanted.name, found.name, names)
  return Object.keys(wanted).every(
    (key) => noStructure.has(key) || matches(wanted[key], found[key], isNameOfMember(wanted, key) ? null : names),
  )
}

/** Two variables of one name are one variable, and no two have one name. */
function isNamed(wanted: string, found: string, names: Map<string, string>): boolean {
  const known = names.get(wanted)
  if (known !== undefined) return known === found
  if ([...names.values()].includes(found)) return false
  names.set(wanted, found)
  return true
}

/** Whether this part of a node is a name that others use: of a property, a method or an export. */
function isNameOfMember(node: Tree, key: string): boolean {
  return (key === 'property' || key === 'key' || key === 'imported' || key === 'exported') && !node.computed
}

/** The code with the names that its variables have elsewhere. */
export function withNames(code: string, names: ReadonlyMap<string, string>): string {
  const others = new Map([...names].filter(([name, other]) => name !== other))
  if (code === '' || others.size === 0) return code
  const [{ nodes, offset }] = piecesOf(code) as [Piece]
  let renamed = code
  for (const { start, end, text } of renamings(nodes, others).sort((one, other) => other.start - one.start)) {
    renamed = renamed.slice(0, start - offset) + text + renamed.slice(end - offset)
  }
  return renamed
}

function renamings(tree: Tree, others: ReadonlyMap<string, string>): { start: number; end: number; text: string }[] {
  if (typeof tree !== 'object' || tree === null) return []
  const { type, name, start, end } = tree
  if (type === 'Identifier' && others.has(name)) return [{ start, end, text: others.get(name)! }]
  if (tree.shorthand)
    return renamings(tree.value, others).map((change) => ({ ...change, text: `${tree.key.name}: ${change.text}` }))
  return Object.keys(tree).flatMap((key) => (isNameOfMember(tree, key) ? [] : renamings(tree[key], others)))
}
