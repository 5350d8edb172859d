import { bug, type Mutation } from './mutation.ts'

const row = 'persistence/postgres/node/row.js'
const nodes = (test: string) => ['persistence/postgres/nodes.test.ts', `nodes that share a database ${test}`] as const
const runs = 'persistence/postgres/event-runs.js'
const together = (test: string) =>
  ['persistence/postgres/event-runs.test.ts', `jobs that make a transition together ${test}`] as const
const outlived = together('lose their rows with the last of them, and are not told of any more once they are gone')

export const nodeBugs: readonly Mutation[] = [
  bug(
    'a node that starts after an outage takes the jobs of all others',
    nodes('take nothing from each other when another starts after the server was away for all'),
    { file: row, text: 'ELSE shortest / 10 END', replace: 'ELSE ${passed} END' },
  ),
  bug(
    'nodes whose every heartbeat comes late find no other dead',
    nodes('declare one dead although every heartbeat of the others comes late'),
    { file: row, text: 'ELSE shortest / 10 END', replace: 'ELSE 0 END' },
  ),
  bug(
    'a writer that is opened while its node is declared dead can store for a while',
    nodes('fence a writer that one opens while it is declared dead'),
    { file: 'persistence/postgres/recovery.js', text: 'await this.#reads.all(fenceSql, { id });', replace: '' },
  ),
  bug(
    'a lease is abandoned while the answer to its claim is on its way',
    [
      'persistence/postgres/unknown-leases.test.ts',
      'a lease that its node holds in the database and does not know is left alone while the answer to its claim is on its way',
    ],
    { file: 'persistence/postgres/maintenance.js', find: 'if (!isAnswered)', replace: 'if (false)' },
  ),
  bug(
    'ids that a lost server gave out are stored on its successor',
    [
      'persistence/postgres/epochs.test.ts',
      'after a failover to a standby that lacks the last commits nodes store every job, and give no id of a job or a transition twice',
    ],
    { file: 'persistence/postgres/functions.js', text: 'IF _timeline IS NOT NULL THEN', replace: 'IF false THEN' },
  ),
  bug('retention removes the history of jobs that share a row with one that ended earlier', outlived, {
    file: runs,
    text: ' AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = ANY (job_ids))',
    replace: '',
  }),
  bug('a job that retention has removed has a history still', outlived, {
    file: runs,
    text: 'EXISTS (SELECT 1 FROM jobs WHERE jobs.id = item.job_id OFFSET 0)',
    replace: 'true',
  }),
  bug('the tail ends where a page has used up a row that jobs share', outlived, {
    file: runs,
    text: 'LIMIT ${limit} + 1)',
    replace: 'LIMIT ${limit})',
  }),
  bug('jobs share a row however far apart they are', together('have a row each if they are far apart'), {
    file: runs,
    text: '_is_run := (SELECT max(id) - min(id) < ${spanMax} FROM unnest(_ids) AS item (id))',
    replace: '_is_run := true',
  }),
]
