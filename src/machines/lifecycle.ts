import { causes } from './cause.ts'
import { type Chart, charts, describeConditions, scheduleChart, toMermaid } from './chart.ts'
import { eventText } from './chart-text.ts'
import { type Edge, edges } from './edges.ts'
import { jobEvents } from './events.ts'

const attemptWords: Readonly<Record<Edge['attempt'], string>> = {
  keep: '',
  count: 'one more',
  giveBack: 'one given back',
  forget: 'start over',
}

const crashWords: Readonly<Record<Edge['crashes'], string>> = {
  keep: '',
  count: 'one more',
  forget: 'forgotten',
}

/** `docs/lifecycle.md`: all four machines as text. A test compares the file with it. */
export function lifecyclePage(): string {
  const { job, dispatcher, worker } = charts
  return [
    '# Lifecycles',
    '`npm run docs:lifecycle` writes this page from the machines in `src/machines/`; do not edit it. A running server draws',
    'the same with its numbers: `GET /machine.svg`, and for one job `GET /jobs/:id/machine.svg`.',
    '',
    ...section(job, jobEvents),
    '### Causes',
    'The history keeps the cause of each event. `client` and `person` stand for events of a version that did not keep it.',
    '',
    ...table(
      ['cause', 'who'],
      Object.entries(causes).map(([cause, who]) => [`\`${cause}\``, who]),
    ),
    '### Edges',
    '*If* is a further condition; *attempts* and *crashes* say how those counts change.',
    '',
    ...table(
      ['from', 'event', 'if', 'to', 'attempts', 'crashes'],
      edges.map(({ from, event, conditions, to, attempt, crashes }) => {
        return [from, event, describeConditions(conditions) ?? '', to, attemptWords[attempt], crashWords[crashes]]
      }),
    ),
    ...section(dispatcher, eventText.dispatcher),
    ...section(worker, eventText.worker),
    ...section(scheduleChart, eventText.schedule),
  ].join('\n')
}

function section(chart: Chart, events: (typeof eventText)['dispatcher']): string[] {
  return [
    `## ${chart.title}`,
    '```mermaid',
    toMermaid(chart),
    '```',
    '',
    ...table(
      ['state', 'meaning', 'left by'],
      chart.nodes.map(({ id, description }) => [`\`${id}\``, description, waysOut(chart, id)]),
    ),
    ...table(
      ['event', 'meaning', 'caused by'],
      Object.entries(events).map(([event, { what, who }]) => [`\`${event}\``, what, who]),
    ),
  ]
}

function waysOut({ edges }: Chart, state: string): string {
  const ways = edges
    .filter(({ from }) => from === state)
    .map(({ event, guard }) => (event ? `\`${event}\`` : `by itself when ${guard}`))
  return [...new Set(ways)].join(', ')
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line), '']
}
