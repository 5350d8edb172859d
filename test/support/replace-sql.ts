import { parseAst } from 'vitest/node'
import { matches, type Place, replaceOnce, type Tree, treesIn, withNames } from './replace-code.ts'

/**
 * Replaces a piece of the SQL in a template or a text of JavaScript. It is found whatever its line breaks and indentation. What it has in
 * `${}` is found, and replaced, as code is by `replaceCode`. Throws if the piece is not found exactly once.
 */
export function replaceSql(text: string, find: string, replace: string): string {
  const program = parseAst(text)
  const places = (exactly: boolean) =>
    [...treesIn(program)].flatMap((tree) => placesIn(tree, text, template(find), exactly))
  return replaceOnce(text, find, places, ({ names }) => withNames(`\`${replace}\``, names).slice(1, -1))
}

function template(sql: string): Tree {
  return (parseAst(`\`${sql}\``) as Tree).body[0].expression
}

function placesIn(tree: Tree, text: string, wanted: Tree, exactly: boolean): Place[] {
  const isText = tree.type === 'Literal' && typeof tree.value === 'string'
  if (!isText && tree.type !== 'TemplateLiteral') return []
  const parts: readonly { start: number; end: number }[] = isText
    ? [{ start: tree.start + 1, end: tree.end - 1 }]
    : tree.quasis
  const patterns: readonly string[] = wanted.quasis.map(({ value }: Tree) => patternOf(value.raw))
  const last = patterns.length - 1
  const places: Place[] = []
  for (let at = 0; at + last < parts.length; at++) {
    const names = new Map<string, string>()
    const isAlike = (expression: Tree, index: number) =>
      matches(expression, tree.expressions[at + index], exactly ? null : names)
    if (!wanted.expressions.every(isAlike)) continue
    const found = patterns.map((pattern, index) => {
      const { start, end } = parts[at + index]!
      const regExp = new RegExp(`${index > 0 ? '^' : ''}${pattern}${index < last ? '$' : ''}`, 'g')
      return [...text.slice(start, end).matchAll(regExp)].map((match) => ({
        start: start + match.index,
        end: start + match.index + match[0].length,
      }))
    })
    if (found.some((matched) => matched.length === 0)) continue
    for (const { start, end } of found[0]!) places.push({ start, end: last === 0 ? end : found[last]![0]!.end, names })
  }
  return places
}

function patternOf(sql: string): string {
  return sql.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replace(/\s+/g, '\\s+')
}
