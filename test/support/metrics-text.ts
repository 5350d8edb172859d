export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Family {
  readonly type: string
  readonly samples: Sample[]
}

const suffixes: Record<string, readonly string[]> = {
  gauge: [''],
  counter: [''],
  histogram: ['_bucket', '_sum', '_count'],
}

/**
 * Reads the Prometheus text format strictly: throws if a line is invalid, if a sample does not belong to the family declared before it, or
 * if something occurs twice.
 */
export function parseMetrics(text: string): Map<string, Family> {
  const families = new Map<string, Family>()
  const seen = new Set<string>()
  let current: { name: string; family: Family } | undefined
  let helped: string | undefined
  if (!text.endsWith('\n')) throw new Error('the last line does not end')
  for (const line of text.slice(0, -1).split('\n')) {
    if (line === '') continue
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) ([a-z_:][a-z0-9_:]*) (.+)$/i.exec(line) ?? []
    if (kind === 'HELP') helped = name
    else if (kind === 'TYPE') {
      if (families.has(name) || helped !== name || !(rest in suffixes)) throw new Error(`a bad declaration: ${line}`)
      current = { name, family: { type: rest, samples: [] } }
      families.set(name, current.family)
    } else {
      const sample = parseSample(line)
      const suffix =
        current && sample.name.startsWith(current.name) ? sample.name.slice(current.name.length) : undefined
      if (!current || suffix === undefined || !suffixes[current.family.type]!.includes(suffix)) {
        throw new Error(`no family was declared for it: ${line}`)
      }
      const key = line.slice(0, line.lastIndexOf(' '))
      if (seen.has(key)) throw new Error(`it stands there twice: ${line}`)
      seen.add(key)
      current.family.samples.push(sample)
    }
  }
  return families
}

function parseSample(line: string): Sample {
  const [, name, labelText = '', number] = /^([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (\S+)$/i.exec(line) ?? []
  const value = number === '+Inf' ? Number.POSITIVE_INFINITY : Number(number)
  if (name === undefined || Number.isNaN(value)) throw new Error(`it is no sample: ${line}`)
  const labels: Record<string, string> = {}
  const rest = labelText.replace(/([a-z_][a-z0-9_]*)="((?:[^"\\]|\\[\\n"])*)"(?:,|$)/gi, (_, label, quoted: string) => {
    if (label in labels) throw new Error(`a label stands there twice: ${line}`)
    labels[label] = quoted.replace(/\\(.)/g, (__, char: string) => (char === 'n' ? '\n' : char))
    return ''
  })
  if (rest !== '') throw new Error(`these are no labels: ${line}`)
  return { name, labels, value }
}

/** A sample's value by its name and labels, in any order; undefined if there is none. */
export function sampleOf(families: Map<string, Family>, name: string, labels: Record<string, string> = {}) {
  const wanted = JSON.stringify(Object.entries(labels).sort())
  return [...families.values()]
    .flatMap(({ samples }) => samples)
    .find((sample) => sample.name === name && JSON.stringify(Object.entries(sample.labels).sort()) === wanted)?.value
}
