import { edges } from './edges.ts'

/** The job machine as a Mermaid state diagram, drawn from its edges: for docs, which a test holds against it. */
export function toMermaid(): string {
  const arrows = new Map<string, string[]>()
  for (const { from, event, to, guard } of edges) {
    const arrow = `${from === 'new' ? '[*]' : from} --> ${to}`
    const label = guard && event !== 'enqueue' ? `${event}${guard.holds ? '' : ', last attempt'}` : event
    arrows.set(arrow, [...(arrows.get(arrow) ?? []), label])
  }
  return ['stateDiagram-v2', ...[...arrows].map(([arrow, labels]) => `  ${arrow}: ${labels.join(' / ')}`)].join('\n')
}
