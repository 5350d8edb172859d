import { bug, type Mutation } from './mutation.ts'

const schedule = (test: string) => ['engine/schedules/schedules.test.ts', `a schedule ${test}`] as const
const clock = (test: string) => ['engine/schedules/schedules.test.ts', `a clock ${test}`] as const
const changed = (test: string) => ['engine/schedules/schedules.test.ts', `a changed schedule ${test}`] as const
const job = (test: string) => ['engine/schedules/schedules.test.ts', `a job of a schedule ${test}`] as const
const store = (test: string) => ['persistence/sqlite-store.test.ts', `SQLite store a schedule ${test}`] as const
const plans = 'engine/schedules/plans.js'
const commands = 'engine/schedules/commands.js'

/** What would lose a tick or double it, on its way from the clock to the database. */
export const tickBugs: readonly Mutation[] = [
  bug(
    'the job of a tick is stored although its schedule does not advance',
    store('that somebody else has moved since is not moved, and no job is made'),
    { file: 'persistence/sqlite/write/schedules.js', text: 'making.every(Boolean)', replace: 'true' },
  ),
  bug(
    'a tick that somebody else has dealt with is dealt with again',
    store('moved twice at the same time moves once'),
    {
      file: 'persistence/schedule-moves.js',
      text: 'if (kept?.seq !== seq)',
      replace: 'if (kept === undefined)',
    },
  ),
  bug(
    'a schedule advances to the next tick of the clock',
    clock('that wakes late makes every tick of the last minute'),
    {
      file: plans,
      text: 'nextTick: ticks.next(tick), tzVersion',
      replace: 'nextTick: ticks.next(now), tzVersion',
    },
  ),
  bug(
    'a resumed schedule owes the ticks of its pause',
    schedule('has no ticks while it is paused, and owes none of them'),
    {
      file: commands,
      text: 'const lastTick = Math.max(kept.lastTick, now);',
      replace: 'const lastTick = kept.lastTick;',
    },
  ),
  bug(
    'a job that stands for missed ticks names its own as the first of them',
    schedule('tells the handler of its job, in each attempt, for which tick it was made and what it stands for'),
    { file: 'engine/schedules/job-factory.js', text: 'firstMissed: first', replace: 'firstMissed: tick' },
  ),
  bug('ticks that are due before a pause are lost', schedule('deals with the ticks that are due before it is paused'), {
    file: commands,
    text: "event === 'pause' || event === 'end' ||",
    replace: "event === 'end' ||",
  }),
  bug('each start edits its schedules', changed('that is written as it is stays as it is, however it is written'), {
    file: commands,
    text: "kept.spec === spec && kept.state !== 'broken'",
    replace: 'false',
  }),
  bug(
    'a tick that waits for room counts as missed',
    job('waits for room without being lost, and without asking all the time'),
    {
      file: 'engine/schedules/scheduler.js',
      text: 'plans.step(row, waiting?.tick === row.nextTick ? waiting.since : now)',
      replace: 'plans.step(row, now)',
    },
  ),
  bug(
    'overlap skip does not skip',
    schedule('whose last job has not ended skips its ticks, and says because of which, if its overlap is skip'),
    { file: plans, text: 'return unended === null ? step', replace: 'return unended !== undefined ? step' },
  ),
  bug(
    'other time zones plan from the clock',
    clock('with other time zones plans again from the last tick, and says so'),
    {
      file: plans,
      text: 'this.read(row).ticks.next(row.lastTick)',
      replace: 'this.read(row).ticks.next(row.nextTick)',
    },
  ),
]
