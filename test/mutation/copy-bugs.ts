import { bug, type Mutation } from './mutation.ts'

const copied = (test: string) =>
  ['persistence/copy/copy-file.test.ts', `the jobs of a file that moves to PostgreSQL ${test}`] as const
const moved = (test: string) => ['persistence/sqlite/moved-file.test.ts', test] as const
const jobCopy = 'persistence/copy/job-copy.js'
const target = 'persistence/postgres/copy/copy-target.js'

export const copyBugs: readonly Mutation[] = [
  bug(
    'a move leaves behind what happened at last',
    copied('come along with all that happens to them while they are copied'),
    {
      file: jobCopy,
      text: 'async finish(source) {\n        await this.follow(source);',
      replace: 'async finish(source) {',
    },
    { file: jobCopy, find: 'if (difference !== null) throw different(difference);', replace: '' },
  ),
  bug('a move forgets how often keys were used', copied('are there in every state, with all that is stored of them'), {
    file: target,
    find: `insertRows(client, 'key_replays', columns, replays, isNew)`,
    replace: 'Promise.resolve()',
  }),
  bug(
    'a move cannot replace a payload that the file no longer keeps',
    copied('that are changed so often that payloads go keep there what they keep here'),
    {
      file: 'persistence/postgres/copy/write-jobs.js',
      find: 'await keepReplaced(client, changed, known);',
      replace: '',
    },
  ),
  bug(
    'a move leaves a changed payload as it was',
    copied('are changed there too, with what they were before, and a key that goes to another goes there too'),
    {
      file: 'persistence/postgres/copy/write-jobs.js',
      find: 'await writeVersions(client, jobs, changed);',
      replace: '',
    },
    { file: jobCopy, find: 'if (difference !== null) throw different(`job ${id}: ${difference}`);', replace: '' },
  ),
  bug(
    'what retention removed during a move stays',
    copied('are removed there too if retention removes them meanwhile, and their keys are free'),
    { file: jobCopy, find: 'if (page.gone.length > 0)', replace: 'if (false)' },
    { file: jobCopy, find: 'if (gone.length > 0)', replace: 'if (false)' },
  ),
  bug('a damaged job moves too', copied('are not switched if one is damaged, and the file goes on'), {
    file: jobCopy,
    find: 'const fault = problemOf(job, known);',
    replace: 'const fault = null;',
  }),
  bug(
    'a move forgets the epochs of the file',
    copied('of a restored backup get a new epoch, so that later ids are not used again'),
    { file: target, find: 'await setMeta(client, { epochs: JSON.stringify(origin.epochs.slice(1)) });', replace: '' },
  ),
  bug(
    'ids of jobs begin anew after a move',
    copied('keep their ids, keys and epochs, and those to come get higher ids'),
    { file: target, find: '[origin.jobs]', replace: '[0]' },
    { file: target, text: '(SELECT last_value + 1000 FROM job_ids)', replace: '1' },
  ),
  bug(
    'a stop of the server is forgotten by a move',
    copied('that a server held while it stopped are given back without blame'),
    { file: target, find: 'origin.wasStopping', replace: 'false' },
  ),
  bug(
    'a second move changes what was stored since the first',
    copied('are changed no more by a second run when the first has ended, for there may be new ones'),
    { file: target, text: `'copy' FOR UPDATE\``, replace: `'database_id' FOR UPDATE\`` },
  ),
  bug(
    'a move goes to a schema that is in use',
    copied('do not go to a schema that has jobs, is in use, or has a part of another file'),
    { file: target, find: 'await assertUnused(client, schema);', replace: '' },
  ),
  bug(
    'a closed file is not compared before the database is opened',
    [
      'persistence/copy/interrupted-copy.test.ts',
      'a move that ended when the file was closed copies again what the database lost before it was opened',
    ],
    {
      file: 'persistence/copy/copy-file.js',
      text: 'await copy.copyAll(source);\n        await copy.finish(source);\n        await target.settle(facts, source.counts());',
      replace: `await target.all('SELECT 1');`,
    },
  ),
  bug(
    'a file whose jobs have moved is opened',
    moved('a file whose jobs have moved is opened by nobody, and says where they are'),
    {
      file: 'persistence/sqlite/file/accept.js',
      find: 'if (moved && !mayBeMoved)',
      replace: 'if (false)',
    },
  ),
  bug(
    'earlier versions open a file whose jobs have moved',
    moved('a file whose jobs have moved is too new for every version that knows nothing of that'),
    {
      file: 'persistence/sqlite/file/moved.js',
      find: 'const movedVersion = 1_000_000',
      replace: 'const movedVersion = 0.5',
    },
  ),
  bug(
    'a producer ends of a file whose jobs have moved',
    moved('a producer that has the file open is refused once its jobs have moved, and goes on'),
    { file: 'persistence/sqlite/file/storage-failure.js', find: `return 'moved'`, replace: 'return null' },
  ),
  bug(
    'a schema with a part of the jobs is opened',
    [
      'persistence/postgres/unfinished-copy.test.ts',
      'a schema that has only a part of the jobs of a file is refused by every process, with what to do',
    ],
    {
      file: 'persistence/postgres/store.js',
      find: 'assertWhole(await readDatabase(first), this.#schema);',
      replace: '',
    },
  ),
]
