/**
 * Measures the shape of src/: `npm run measure`, or `npm run measure -- FOLDER` for another checkout. It prints each figure with its
 * target, what it counts and the details, and fails if a target is missed. A test runs it.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import * as ast from 'typescript/unstable/ast'
import { API, SymbolFlags, TypeFlags } from 'typescript/unstable/sync'
import { wordsOf } from './name-words.js'

const root = resolve(process.argv[2] ?? '.')
const source = join(root, 'src')
const paths = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((path) => /(?<!\.d)\.tsx?$/.test(path))
  .sort()

/** The folders of persistence/ that are a store each: a job passes through one of them. */
const stores = ['sqlite', 'postgres']

/** A field that a job has once it is stored and read back: such a job goes to a reader, not to the handler. */
const readersField = 'createdAt'

/** A field of PostgreSQL's notifications, which the driver gives a `payload` too. */
const notificationField = 'channel'

const typescript = new API({ cwd: root })
const configs = ['tsconfig.json', 'tsconfig.browser.json'].map((name) => join(root, name)).filter(existsSync)
const projects = configs.map((config) => {
  const snapshot = typescript.updateSnapshot({ openProject: config })
  return snapshot.getProject(config) ?? snapshot.getProjects().at(-1)
})
const files = paths.map((path) => {
  const project = projects.find(({ program }) => program.getSourceFile(join(source, path)))
  const text = readFileSync(join(source, path), 'utf8')
  return {
    path,
    text,
    lines: text.trimEnd().split('\n'),
    checker: project.checker,
    tree: project.program.getSourceFile(join(source, path)),
  }
})
const callers = files.flatMap(callersIn)
const functions = callers.filter(({ name }) => name !== undefined)

exportsPerLine()
for (const store of stores) shapesOfAJob(store)
for (const store of stores) hopsOfThePayload(store)
looseFiles()
circles()
lengths()
comments()
houseWords()
typescript.close()

function exportsPerLine() {
  const names = files.flatMap(exportedNames)
  const lines = files.reduce((sum, file) => sum + file.lines.length, 0)
  const perLine = (names.length * 1_000) / lines
  print('exported names per 1,000 lines', perLine.toFixed(1), 'at most 26', perLine <= 26, [
    `${names.length} names that files export where they declare them, in ${lines} lines of ${files.length} files`,
  ])
}

/**
 * A shape is a named type whose values are one job on its way, whole or in part: it has the payload, or an id and another field of a job. A
 * handler has a payload schema, not a payload, and a filter describes many jobs.
 */
function shapesOfAJob(store) {
  const others = [
    'type',
    'queue',
    'priority',
    'runAt',
    'delayMs',
    'timeoutMs',
    'idempotencyKey',
    'maxRetries',
    'maxAttempts',
    'attempt',
    'state',
  ]
  const shapes = files
    .filter(({ path }) => isOnTheWay(path, store))
    .flatMap(({ path, tree, checker }) =>
      declarationsIn(tree).flatMap(({ name }) => {
        if (/Handler$|Filter$/.test(name.text)) return []
        const symbol = checker.getSymbolAtLocation(name)
        const fields = symbol ? checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol)) : []
        const has = new Set(fields.map((field) => camelCase(field.name)))
        const isPart = (has.has('id') || has.has('jobId')) && others.some((other) => has.has(other))
        return has.has('payload') || isPart ? [`${path}: ${name.text}`] : []
      }),
    )
  print(`shapes of a job, by ${store}`, shapes.length, 'at most 12', shapes.length <= 12, [
    `interfaces and type aliases on the way from the socket to the handler that have payload, or id or jobId and one of ${others.join(', ')}`,
    ...shapes,
  ])
}

/** The interfaces and type aliases of a file, those inside functions too. */
function declarationsIn(node) {
  const found = ast.isInterfaceDeclaration(node) || ast.isTypeAliasDeclaration(node) ? [node] : []
  node.forEachChild((child) => {
    found.push(...declarationsIn(child))
  })
  return found
}

/**
 * A hop is a function on the way that names `payload`, not counting functions inside it, or has a parameter that carries one: a job,
 * several, or an object that has them. A room is entered twice if code on the way in two other rooms calls hops of it; it does not see that
 * a message or a promise brings a job back.
 */
function hopsOfThePayload(store) {
  const hops = functions.filter(
    ({ path, names, parameters, checker }) =>
      isOnTheWay(path, store) &&
      !parameters.some((node) => isReadBack(checker, checker.getTypeAtLocation(node))) &&
      (names.has('payload') || parameters.some((node) => carriesPayload(checker, checker.getTypeAtLocation(node)))),
  )
  const entries = new Map()
  for (const { path, calls, checker } of callers.filter(({ path }) => isOnTheWay(path, store))) {
    for (const callee of calls) {
      const room = roomOf(declaredIn(checker, callee))
      if (room === roomOf(path) || !hops.some((hop) => hop.name === callee.text && roomOf(hop.path) === room)) continue
      entries.set(room, (entries.get(room) ?? new Set()).add(roomOf(path)))
    }
  }
  const twice = [...entries].filter(([, from]) => from.size > 1)
  const places = groupBy(hops, ({ path }) => path)
  print(`rooms that payload enters twice, by ${store}`, twice.length, '0', twice.length === 0, [
    'folders of src/ with hops that are called on the way from more than one other folder; what comes back by a message or a promise is not seen',
    ...twice.map(([room, from]) => `${room}/ from ${[...from].sort().join(', ')}`),
  ])
  print(`hops of payload, by ${store}`, hops.length, 'at most 16', hops.length <= 16, [
    `functions on the way from the socket to the handler that name payload or have a parameter that carries it, in ${places.size} files; a schema of one, and a job that is read back, do not count`,
    ...[...places].map(([path, inFile]) => `${path}: ${inFile.map(({ name }) => name).join(', ')}`),
  ])
}

/** The file of src/ that declares what an identifier means; for a method called through an interface, the file of the interface. */
function declaredIn(checker, identifier) {
  const symbol = checker.getSymbolAtLocation(identifier)
  const isImported = symbol && symbol.flags & SymbolFlags.Alias
  const declaration = (isImported ? checker.getAliasedSymbol(symbol) : symbol)?.declarations[0]
  return declaration ? relative(source, declaration.path) : ''
}

/**
 * Whether a value of the type has a payload: itself, in an array, or in its `job` or `jobs`. A handler has a schema there. See
 * `readersField`.
 */
function carriesPayload(checker, type, depth = 0) {
  // Both count as arrays without a type.
  if (!type || depth > 3 || type.flags & (TypeFlags.Any | TypeFlags.Never)) return false
  if (type.isUnionType()) return type.getTypes().some((one) => carriesPayload(checker, one, depth + 1))
  if (type.isErrorType()) return false
  if (checker.isArrayLikeType(type)) {
    // The arguments of a type parameter that extends an array are not available.
    return (
      type.isTypeReference() && checker.getTypeArguments(type).some((one) => carriesPayload(checker, one, depth + 1))
    )
  }
  const fields = checker.getPropertiesOfType(type)
  const names = fields.map(({ name }) => name)
  if (names.includes('payload')) return !names.includes('run') && !names.includes(readersField)
  return fields
    .filter(({ name }) => name === 'job' || name === 'jobs')
    .some((field) => carriesPayload(checker, checker.getTypeOfSymbol(field), depth + 1))
}

function looseFiles() {
  const loose = paths.filter((path) => !path.includes('/'))
  print('loose files in src/', loose.length, 'at most 4', loose.length <= 4, [loose.join(', ')])
}

function circles() {
  const imports = new Map(files.map((file) => [file.path, importsOf(file)]))
  const found = []
  const isDone = new Set()
  const follow = (path, way) => {
    if (way.includes(path)) found.push([...way.slice(way.indexOf(path)), path].join(' → '))
    if (isDone.has(path) || way.includes(path)) return
    for (const next of imports.get(path) ?? []) follow(next, [...way, path])
    isDone.add(path)
  }
  for (const path of paths) follow(path, [])
  print('import circles', found.length, '0', found.length === 0, ['imports of types count', ...found])
}

function lengths() {
  const ofFiles = files.map(({ lines }) => lines.length)
  const [median, p90] = [quantile(ofFiles, 0.5), quantile(ofFiles, 0.9)]
  print('file length, median and p90', `${median} and ${p90}`, 'at most 80 and 220', median <= 80 && p90 <= 220, [
    `lines; the longest has ${Math.max(...ofFiles)}`,
  ])
  const p90OfFunctions = quantile(
    functions.map(({ length }) => length),
    0.9,
  )
  const longest = functions.toSorted((a, b) => b.length - a.length).slice(0, 3)
  print('function length, p90', p90OfFunctions, 'at most 18', p90OfFunctions <= 18, [
    `lines of ${functions.length} named functions and methods; the longest are ${longest.map(({ path, name, length }) => `${path}: ${name} ${length}`).join(', ')}`,
  ])
}

function comments() {
  let written = 0
  let commented = 0
  for (const { lines } of files) {
    let isInside = false
    for (const line of lines.map((text) => text.trim()).filter((text) => text !== '')) {
      const opens = line.startsWith('/*')
      written++
      if (isInside || opens || line.startsWith('//')) commented++
      isInside = (isInside || opens) && !line.includes('*/')
    }
  }
  const share = (100 * commented) / written
  print('share of comments', `${share.toFixed(1)} %`, '10 to 15 %', share >= 10 && share <= 15, [
    `${commented} of ${written} lines that are not empty have nothing else`,
  ])
}

function houseWords() {
  const list = readFileSync(new URL('./peer-words.txt', import.meta.url), 'utf8').split('\n')
  const peers = new Set(list.filter((line) => !line.startsWith('#')))
  const words = groupBy(
    files.flatMap((file) => exportedNames(file).flatMap((name) => wordsOf(name).map((word) => ({ word, name })))),
    ({ word }) => word,
  )
  const ours = [...words.keys()].filter((word) => !peers.has(word)).sort()
  print('words that no other job system has', ours.length, 'at most 40', ours.length <= 40, [
    `of ${words.size} words in exported names; the others are those of scripts/peer-words.txt`,
    ours.map((word) => `${word} (${words.get(word)[0].name})`).join(', '),
  ])
}

/**
 * What a job passes between the socket and its handler, by way of a store: not code that observes, shows, checks, tests or moves it to another database, and
 * not the handlers themselves. What a schedule keeps is not a job yet: its jobs go this way from the store on.
 */
function isOnTheWay(path, store) {
  if (stores.some((other) => other !== store && path.startsWith(`persistence/${other}/`))) return false
  return !/^(observe|cli|testing|explain|telemetry)\/|schedule|dashboard|openapi|verify|migrations|\/copy\/|whole-jobs|handlers\/(email|webhook|sleep)/.test(
    path,
  )
}

function roomOf(path) {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : 'src'
}

function exportedNames({ tree }) {
  return tree.statements.flatMap((statement) => {
    if (!statement.modifiers?.some(({ kind }) => kind === ast.SyntaxKind.ExportKeyword)) return []
    if (ast.isVariableStatement(statement)) {
      return statement.declarationList.declarations.flatMap(({ name }) => (ast.isIdentifier(name) ? [name.text] : []))
    }
    return statement.name ? [statement.name.text] : []
  })
}

/**
 * The named functions and methods of a file, and the code outside them, with the names and calls in each, not counting named functions
 * inside it.
 */
function callersIn({ path, tree, text, checker }) {
  const outside = { path, checker, parameters: [], names: new Set(), calls: new Set() }
  const found = [outside]
  const visit = (node, outer) => {
    let within = outer
    const name = nameOfFunction(node)
    if (name) {
      const length = text.slice(node.getStart(tree), node.end).split('\n').length
      const { parameters } = node.initializer ?? node
      within = { path, name, length, checker, parameters, names: new Set(), calls: new Set() }
      found.push(within)
    }
    if (ast.isTypeNode(node)) return
    if (ast.isIdentifier(node) && !(node.text === 'payload' && isAnotherPayload(node, checker)))
      within.names.add(node.text)
    if (ast.isCallExpression(node)) within.calls.add(node.expression.name ?? node.expression)
    node.forEachChild((child) => visit(child, within))
  }
  visit(tree, outside)
  return found
}

/**
 * Whether an identifier `payload` does not belong to the way to the handler: in a handler it is a schema, and a job that is read back has
 * one too, and so has a notification of the database.
 */
function isAnotherPayload(node, checker) {
  const { parent } = node
  const holder = ast.isPropertyAccessExpression(parent)
    ? parent.expression
    : ast.isBindingElement(parent)
      ? parent.parent
      : undefined
  const has = (at, name) => {
    const type = checker.getTypeAtLocation(at)
    return type !== undefined && checker.getPropertiesOfType(type).some((field) => field.name === name)
  }
  return (
    has(node, '~standard') || (holder !== undefined && (has(holder, readersField) || has(holder, notificationField)))
  )
}

/** Whether a value of the type is a stored job that is read back. */
function isReadBack(checker, type) {
  const names = type ? checker.getPropertiesOfType(type).map(({ name }) => name) : []
  return names.includes('payload') && names.includes(readersField)
}

function nameOfFunction(node) {
  if (ast.isFunctionDeclaration(node) || ast.isMethodDeclaration(node)) return node.body && node.name?.text
  if (ast.isConstructorDeclaration(node)) return node.body && 'constructor'
  const holdsOne = ast.isVariableDeclaration(node) || ast.isPropertyAssignment(node) || ast.isPropertyDeclaration(node)
  if (!holdsOne || !node.initializer) return undefined
  const isOne = ast.isArrowFunction(node.initializer) || ast.isFunctionExpression(node.initializer)
  return isOne ? node.name.text : undefined
}

function importsOf({ path, text }) {
  return [...text.matchAll(/^(?:import|export)\s[^;]*?from '(\.[^']+)'/gm)]
    .map(([, to]) => relative(source, join(source, dirname(path), to)))
    .filter((to) => paths.includes(to))
}

function groupBy(items, keyOf) {
  const groups = new Map()
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item])
  return groups
}

function camelCase(name) {
  return name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase())
}

function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
}

function print(what, figure, target, isMet, notes) {
  if (!isMet) process.exitCode = 1
  console.log(`${what}: ${figure} (target: ${target}${isMet ? '' : '; MISSED'})`)
  for (const note of notes) if (note !== '') console.log(`    ${note}`)
}
