import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseMetrics } from './support/metrics-text.ts'
import { startHttp } from './support/server.ts'

const text = readFileSync('docs/grafana.json', 'utf8')
const dashboard = JSON.parse(text)
const panels: { title: string; targets: { expr: string }[] }[] = dashboard.panels

/** The metrics that a query asks for. */
const metricsIn = (query: string) => query.match(/\b(?:jobmachine|nodejs|process)_[a-z0-9_]+/g) ?? []

async function exposed() {
  const server = await startHttp()
  await server.post('/createJob', { type: 'echo', payload: 1 })
  await server.untilState(1, 'succeeded')
  const { body } = await server.get('/metrics/prometheus')
  return [...parseMetrics(body).values()].flatMap(({ samples }) => samples)
}

test('every panel of the dashboard uses metrics that exist', async () => {
  const names = new Set((await exposed()).map(({ name }) => name))

  for (const { title, targets } of panels) {
    for (const { expr } of targets) {
      const asked = metricsIn(expr)
      expect([title, asked.length]).not.toEqual([title, 0])
      expect([title, asked.filter((name) => !names.has(name))]).toEqual([title, []])
    }
  }
})

test('no panel adds up what all processes of a database report alike', async () => {
  const shared = /(\w+)(?: by \([^)]*\))? \((?:rate\()?jobmachine_(?:jobs|jobs_by_type|transitions_total)\{/g

  const outer = panels.flatMap(({ targets }) =>
    targets.flatMap(({ expr }) =>
      [
        ...expr
          .replaceAll(/(\w)\(/g, '$1 (')
          .replaceAll('rate (', 'rate(')
          .matchAll(shared),
      ].map(([, by]) => by),
    ),
  )

  expect(outer.length).toBeGreaterThan(8)
  expect(new Set(outer)).toEqual(new Set(['max']))
})

test('every label that the dashboard selects by has the values it names', async () => {
  const samples = await exposed()
  const picks = [...text.matchAll(/([a-z_]+)(=~?|!~)\\"([a-z|_]+)\\"/g)]

  for (const [pick, label = '', , values = ''] of picks) {
    for (const value of values.split('|')) {
      expect([pick, samples.some(({ labels }) => labels[label] === value)]).toEqual([pick, true])
    }
  }
  expect(picks.length).toBeGreaterThan(10)
})

test("the dashboard's variables use metrics that exist", async () => {
  const samples = await exposed()
  const queries: string[] = dashboard.templating.list.flatMap(({ query }: { query: string | { query: string } }) =>
    typeof query === 'string' ? [] : [query.query],
  )

  for (const query of queries) {
    const [, metric, label = ''] = /^label_values\((\w+), (\w+)\)$/.exec(query)!
    const found = samples.filter(({ name }) => name === metric)
    expect([query, found.length]).not.toEqual([query, 0])
    // Prometheus adds the instance.
    if (label !== 'instance') expect(found.every(({ labels }) => label in labels)).toBe(true)
  }
  expect(queries.length).toBe(2)
})

test('the dashboard can be imported anywhere: its data source is a variable', () => {
  const sources = [...text.matchAll(/"uid": "([^"]*)"/g)].map((match) => match[1])

  expect(dashboard.schemaVersion).toBeGreaterThanOrEqual(36)
  expect(dashboard.templating.list[0]).toMatchObject({ name: 'DS_PROMETHEUS', type: 'datasource', query: 'prometheus' })
  // biome-ignore lint/suspicious/noTemplateCurlyInString: so Grafana names a variable
  expect(new Set(sources)).toEqual(new Set(['${DS_PROMETHEUS}', dashboard.uid]))
})
