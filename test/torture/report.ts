/** How often each edge was taken, one line each; untaken ones are marked. */
export function report(edges: readonly string[], taken: ReadonlyMap<string, number>): string {
  const lines = edges.map((edge) => `${`${taken.get(edge) ?? 'NEVER'}`.padStart(9)}  ${edge}`)
  return ['how often each edge of the machine was taken:', ...lines].join('\n')
}
