import {
  type Activity,
  type ChartName,
  describeState,
  duration,
  type JobState,
  type JobSystem,
  jobStates,
  type Metrics,
} from '../../../engine/front-door.ts'
import { renderMachine } from '../charts/render.ts'
import { ChartFrame } from './chart.tsx'
import { renderPage } from './page.tsx'
import { number, StateLabel, Time } from './parts.tsx'
import { SeriesCharts } from './series.tsx'
import { Text } from './text.tsx'

const refreshMs = 1_000
/** Rows in the list of workers, of which there may be a thousand. */
const workersShownMax = 100

/** The HTML of `GET /`: everything at a glance. `needsToken`: whoever sees it has logged in, and may want to log out. */
export async function renderOverview(system: JobSystem, clock: () => number, needsToken: boolean): Promise<string> {
  const draw = (name: ChartName) => renderMachine(system, name, { inline: true })
  const [nodes, counts, metrics, job, dispatcher, worker] = await Promise.all([
    system.nodes(),
    system.counts(),
    system.metrics(),
    draw('job'),
    draw('dispatcher'),
    draw('worker'),
  ])
  // What is of this process alone is said to be so, if others run jobs of this database too.
  const ofNode = nodes.filter(({ serves, endedAt }) => serves && endedAt === null).length > 1 ? ' of this node' : ''
  return renderPage({
    title: 'Overview',
    section: '/',
    refreshMs,
    scripts: ['series.js'],
    styles: ['chart.css', 'uplot.css'],
    children: (
      <>
        <Head system={system} metrics={metrics} ofNode={ofNode} needsToken={needsToken} />
        <Tiles counts={counts} />
        <section class="card" aria-labelledby="jobs-now">
          <h2 id="jobs-now">Every job, now</h2>
          <ChartFrame svg={job} isWide />
        </section>
        <SeriesCharts ofNode={ofNode} />
        <Workers activity={system.activity()} ofNode={ofNode} now={clock()} />
        <div class="columns">
          <section class="card" aria-labelledby="dispatcher">
            <h2 id="dispatcher">The dispatcher{ofNode}</h2>
            <ChartFrame svg={dispatcher} />
          </section>
          <section class="card" aria-labelledby="slots">
            <h2 id="slots">The workers' slots{ofNode}</h2>
            <ChartFrame svg={worker} />
          </section>
        </div>
      </>
    ),
  })
}

interface HeadProps {
  readonly system: JobSystem
  readonly metrics: Metrics
  readonly ofNode: string
  readonly needsToken: boolean
}

function Head({ system, metrics, ofNode, needsToken }: HeadProps) {
  const { ready, reason } = system.health()
  return (
    <section class="card head">
      <h1>Overview</h1>
      <span class={`state kind-${ready ? 'well' : 'badly'}`} id="health">
        {ready ? 'ready' : `not ready: ${reason}`}
      </span>
      <span class="muted">
        On average {duration(metrics.avgTimeInQueueMs)} in queue, {duration(metrics.avgExecutionMs)} executing
        {ofNode && ' on this node'}; {number(metrics.successCount)} succeeded and {number(metrics.failureCount)}{' '}
        attempts failed {ofNode && 'on all nodes '}since {ofNode ? 'this one started' : 'the start'}
      </span>
      {needsToken && (
        <form class="actions" method="post" action="/logout">
          <button type="submit" class="quiet">
            Log out
          </button>
        </form>
      )}
    </section>
  )
}

function Tiles({ counts }: { readonly counts: Readonly<Record<JobState, number>> }) {
  return (
    <ul class="tiles" aria-label="Jobs by state">
      {jobStates.map((state) => (
        <li>
          <a href={`/dashboard/jobs?state=${state}`} title={describeState(state)}>
            <span class="count" id={`tile-${state}`}>
              {number(counts[state])}
            </span>
            <StateLabel state={state} />
          </a>
        </li>
      ))}
    </ul>
  )
}

interface WorkersProps {
  readonly activity: Activity
  readonly ofNode: string
  readonly now: number
}

function Workers({ activity: { slots, workers }, ofNode, now }: WorkersProps) {
  return (
    <section class="card" aria-labelledby="workers">
      <h2 id="workers">
        Workers{ofNode}{' '}
        <span class="muted">
          {number(workers.length)} of {number(slots)} busy
        </span>
      </h2>
      {workers.length === 0 ? (
        <p class="muted">No job is running{ofNode && ' here'}.</p>
      ) : (
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th scope="col" class="number">
                  Worker
                </th>
                <th scope="col" class="number">
                  Job
                </th>
                <th scope="col">Type</th>
                <th scope="col" class="number">
                  Attempt
                </th>
                <th scope="col">Phase</th>
                <th scope="col">Since</th>
              </tr>
            </thead>
            <tbody>
              {workers.slice(0, workersShownMax).map(({ worker, jobId, type, attempt, phase, since }) => (
                <tr>
                  <td class="number">{worker}</td>
                  <td class="number">
                    <a href={`/dashboard/jobs/${jobId}`}>{jobId}</a>
                  </td>
                  <td>
                    <Text of={type} />
                  </td>
                  <td class="number">{attempt}</td>
                  <td>{phase}</td>
                  <td>{since === null ? '–' : <Time at={since} now={now} />}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {workers.length > workersShownMax && <p class="muted">And {number(workers.length - workersShownMax)} more.</p>}
    </section>
  )
}
