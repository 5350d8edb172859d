import type { JobSystem, NodeInfo } from '../../../engine/front-door.ts'
import { page } from './page.tsx'
import { number, Time } from './parts.tsx'
import { Text } from './text.tsx'

const refreshMs = 2_000
/** Types that a row names. */
const typesMax = 10

/** The processes that share the database: who holds how much, who was heard of when, and who did what for all. */
export async function nodesPage(system: JobSystem): Promise<Response> {
  const nodes = await system.nodes()
  return page({
    title: 'Nodes',
    section: '/dashboard/nodes',
    refreshMs,
    children: (
      <section class="card" aria-labelledby="nodes">
        <h1 id="nodes">Nodes</h1>
        {nodes.length === 0 ? (
          <p class="muted">This process only enqueues, and does not know who runs the jobs of this file.</p>
        ) : (
          <Table nodes={nodes} />
        )}
      </section>
    ),
  })
}

function Table({ nodes }: { readonly nodes: readonly NodeInfo[] }) {
  return (
    <div class="scroll">
      <table class="stacks">
        <thead>
          <tr>
            <th scope="col" class="number">
              Node
            </th>
            <th scope="col">Process</th>
            <th scope="col">Started</th>
            <th scope="col">Heard of</th>
            <th scope="col">State</th>
            <th scope="col" class="number">
              Holds
            </th>
            <th scope="col" class="number">
              Runs
            </th>
            <th scope="col">Types</th>
            <th scope="col">Did last for all</th>
          </tr>
        </thead>
        <tbody>
          {nodes.map((node) => (
            <Row node={node} />
          ))}
        </tbody>
      </table>
    </div>
  )
}

function Row({ node }: { readonly node: NodeInfo }) {
  // The database's clock, which may differ from this process's.
  const now = node.heardAt + node.silentMs
  return (
    <tr>
      <td class="number" data-label="Node">
        {node.id}
      </td>
      <td data-label="Process">
        <Text of={`${node.pid} on ${node.host}`} />
        {node.isOwn && ' (this one)'}
      </td>
      <td data-label="Started">
        <Time at={Date.parse(node.startedAt)} now={now} />
      </td>
      <td data-label="Heard of">
        <Time at={node.heardAt} now={now} />
      </td>
      <td data-label="State">
        <State node={node} now={now} />
      </td>
      <td class="number" data-label="Holds">
        {number(node.held)}
      </td>
      <td class="number" data-label="Runs">
        {number(node.running)}
      </td>
      <td data-label="Types">
        <Text of={node.serves ? sayTypes(node.types) : 'only enqueues'} />
      </td>
      <td data-label="Did last for all">
        {node.duties.map(({ duty, doneAt }) => (
          <div>
            {duty}, <Time at={doneAt} now={now} />
          </div>
        ))}
      </td>
    </tr>
  )
}

function State({ node, now }: { readonly node: NodeInfo; readonly now: number }) {
  if (node.endedAt !== null)
    return (
      <>
        {node.declaredBy === null ? 'ended' : 'declared dead'} <Time at={node.endedAt} now={now} />
        {node.declaredBy !== null && ` by node ${node.declaredBy}`}
      </>
    )
  // It is heard of three times in a lease.
  if (node.silentMs >= node.leaseMs / 2)
    return (
      <>
        silent; declared dead <Time at={now + node.leftMs} now={now} />
      </>
    )
  return node.isStopping ? 'stopping' : 'lives'
}

function sayTypes(types: readonly string[]): string {
  const more = types.length > typesMax ? ` and ${number(types.length - typesMax)} more` : ''
  return `${types.slice(0, typesMax).join(', ')}${more}`
}
