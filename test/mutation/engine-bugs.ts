import { bug, type Mutation } from './mutation.ts'

const dispatcher = (test: string) => ['machines/dispatcher.test.ts', test] as const
const prefetch = (test: string) => ['machines/prefetch.test.ts', test] as const
const slots = (test: string) => ['machines/slots.test.ts', test] as const
const attempt = (test: string) => ['engine/dispatch/attempt.test.ts', test] as const
const system = (test: string) => ['system.test.ts', test] as const
const tracing = (test: string) => ['observe/tracing/tracing.test.ts', test] as const
const reports = (test: string) => ['engine/dispatch/reports.test.ts', `what a handler reports ${test}`] as const
const ofSystem = (test: string) => ['system-reports.test.ts', test] as const
const stop = (test: string) => ['system-stop.test.ts', test] as const

const machine: readonly Mutation[] = [
  bug(
    'one attempt too many, in the machine and in SQL',
    system('a job is dead after 1 retries, with its last error'),
    {
      file: 'machines/guards.js',
      find: 'context.attempt < context.maxAttempts',
      replace: 'context.attempt <= context.maxAttempts',
    },
    {
      file: 'persistence/sql/transitions.js',
      sql: `\${attempt} < \${max_attempts}`,
      replace: `\${attempt} <= \${max_attempts}`,
    },
  ),
  bug(
    'one attempt too few, in the machine and in SQL',
    system('a job is dead after 1 retries, with its last error'),
    {
      file: 'machines/guards.js',
      find: 'context.attempt < context.maxAttempts',
      replace: 'context.attempt + 1 < context.maxAttempts',
    },
    {
      file: 'persistence/sql/transitions.js',
      sql: `\${attempt} < \${max_attempts}`,
      replace: `\${attempt} + 1 < \${max_attempts}`,
    },
  ),
  bug(
    'SQL allows an attempt more than the machine',
    [
      'persistence/sql/transitions.test.ts',
      'fail in SQL leads where the machine leads, whatever the attempts, the crashes and the instant',
    ],
    {
      file: 'persistence/sql/transitions.js',
      sql: `\${attempt} < \${max_attempts}`,
      replace: `\${attempt} <= \${max_attempts}`,
    },
  ),
  bug(
    'a snooze counts as an attempt',
    ['persistence/sqlite-store.test.ts', 'SQLite store apply gives the attempt back on snooze and on release'],
    {
      file: 'machines/job.js',
      find: `snooze: { target: 'scheduled', actions: ['giveAttemptBack', 'forgetCrashes'] }`,
      replace: `snooze: { target: 'scheduled', actions: 'forgetCrashes' }`,
    },
  ),
  bug(
    'a shutdown costs an attempt',
    ['persistence/sqlite-store.test.ts', 'SQLite store apply gives the attempt back on snooze and on release'],
    {
      file: 'machines/job.js',
      find: `release: { target: 'queued', actions: 'giveAttemptBack' }`,
      replace: `release: 'queued'`,
    },
  ),
  bug(
    'a start does not count',
    [
      'persistence/sqlite-store.test.ts',
      'SQLite store apply keeps the error of the last failed attempt, without its stack in the row and whole in the history',
    ],
    {
      file: 'machines/job.js',
      find: `start: { target: 'running', actions: 'countAttempt' }`,
      replace: `start: 'running'`,
    },
  ),
  bug(
    'a crash costs an attempt',
    [
      'persistence/sqlite-store.test.ts',
      'SQLite store a job that runs when the process ends comes back at once, with its attempts unchanged, and the crash counted',
    ],
    {
      file: 'machines/job.js',
      find: `target: 'retrying', actions: ['giveAttemptBack', 'countCrash']`,
      replace: `target: 'retrying', actions: ['countCrash']`,
    },
  ),
  bug(
    'a crash is not counted',
    [
      'persistence/sqlite-store.test.ts',
      'SQLite store a job that runs when the process ends comes back at once, with its attempts unchanged, and the crash counted',
    ],
    {
      file: 'machines/job.js',
      find: `target: 'retrying', actions: ['giveAttemptBack', 'countCrash']`,
      replace: `target: 'retrying', actions: ['giveAttemptBack']`,
    },
  ),
  bug(
    'a job may crash as often as it likes, in the machine and in SQL',
    [
      'persistence/sqlite-store.test.ts',
      'SQLite store a job that runs when the process ends is dead after its fourth crash, whatever its attempts, and starts a new life when it is requeued',
    ],
    { file: 'machines/guards.js', find: 'export const crashesMax = 4;', replace: 'export const crashesMax = 40;' },
  ),
  bug(
    'SQL lets a job crash once more than the machine',
    [
      'persistence/sql/transitions.test.ts',
      'expire in SQL leads where the machine leads, whatever the attempts, the crashes and the instant',
    ],
    {
      file: 'persistence/sql/transitions.js',
      sql: '${crashes} + 1 < ${crashesMax}',
      replace: '${crashes} < ${crashesMax}',
    },
  ),
  bug(
    'crashes are not forgotten when an attempt fails by itself',
    [
      'persistence/sqlite-store.test.ts',
      'SQLite store a job that runs when the process ends has no crashes any more when an attempt of it ends by fail',
    ],
    {
      file: 'machines/job.js',
      find: `{ guard: 'attemptsRemain', target: 'retrying', actions: 'forgetCrashes' }`,
      replace: `{ guard: 'attemptsRemain', target: 'retrying' }`,
    },
  ),
  bug(
    'replay takes no notice of crashes',
    [
      'persistence/sqlite/verify.test.ts',
      'verify finds no fault in a job that crashed, and reports a crash count that its history does not explain',
    ],
    { file: 'machines/replay.js', find: 'edge ? countAfter(edge.crashes, job.crashes) : job.crashes', replace: '0' },
  ),
  bug(
    'the third guard of an event is dropped',
    [
      'machines/compile.test.ts',
      'a machine with three guards on one event has an edge for each of them and one for when none holds, in order',
    ],
    {
      file: 'machines/compile.js',
      find: 'return [...new Set(names)];',
      replace: 'return [...new Set(names)].slice(0, 2);',
    },
  ),
  bug(
    'an edge in SQL asks its last guard alone',
    ['machines/compile.test.ts', 'a machine with three guards on one event goes there in SQL too: choose'],
    {
      file: 'persistence/sql/transitions.js',
      find: 'conditions.map',
      replace: 'conditions.slice(-1).map',
    },
  ),
  bug(
    'a succeeded job can be run again',
    [
      'machines/edges.test.ts',
      'the edge table has no way out of succeeded, and only cancel and requeue out of dead, requeue out of cancelled',
    ],
    {
      file: 'machines/job.js',
      find: `tags: ['ended', 'expendable'], type: 'final'`,
      replace: `tags: ['ended', 'expendable'], on: { requeue: { target: 'queued', actions: 'forgetAttempts' } }`,
    },
  ),
]

const dispatching: readonly Mutation[] = [
  bug(
    'handlers are called before their start is on disk',
    dispatcher('a dispatcher requests jobs that one commit leases and starts, and waits for them'),
    { file: 'machines/dispatcher.js', find: 'wait, start: true', replace: 'wait, start: false' },
  ),
  bug(
    'jobs are leased before those of a dead process are moved on',
    dispatcher('a dispatcher leases nothing before a dead process’s jobs have been recovered'),
    { file: 'machines/dispatcher.js', find: `entry: 'recover'`, replace: `entry: ['recover', 'proceed']` },
  ),
  bug('a free slot is asked for twice', prefetch('a request for jobs is made once: one free slot is one job'), {
    file: 'machines/prefetch.js',
    find: 'this.#asked += limit;',
    replace: '',
  }),
  bug(
    'handlers are called before the outcomes at hand are on their way',
    dispatcher('a dispatcher sends the outcomes at hand before it calls the handlers of the next jobs'),
    {
      file: 'machines/dispatcher.js',
      find: 'if (events) apply(context, events); for (const run of prefetch.assign()) workerActors[run.assigned.worker].send(run);',
      replace:
        'if (events) queueMicrotask(() => apply(context, events)); for (const run of prefetch.assign()) workerActors[run.assigned.worker].send(run);',
    },
  ),
  bug(
    'the outcomes of a turn wait for all of them',
    dispatcher(
      'a dispatcher commits many outcomes in parts, within the turn, and requests jobs for the slots that each freed',
    ),
    {
      file: 'machines/prefetch.js',
      find: '(isFirst || runsNext ? 1 : this.#part)',
      replace: '(isFirst || runsNext ? 1 : Number.POSITIVE_INFINITY)',
    },
  ),
  bug(
    'the first outcome waits for the end of its turn',
    dispatcher(
      'a dispatcher commits the first outcome at once, and those that follow in the same turn together at its end',
    ),
    {
      file: 'machines/prefetch.js',
      find: 'const isFirst = this.#committing.length === 0 && !this.#gathering;',
      replace: 'const isFirst = false;',
    },
  ),
  bug(
    'while a commit is under way each outcome goes out by itself',
    dispatcher(
      'a dispatcher commits the first outcome at once, and those that follow in the same turn together at its end',
    ),
    {
      file: 'machines/prefetch.js',
      find: 'const isFirst = this.#committing.length === 0 && !this.#gathering;',
      replace: 'const isFirst = true;',
    },
  ),
  bug(
    'all parts that were leased are run in one turn',
    dispatcher(
      'a dispatcher calls the handlers of several parts in separate turns: the outcomes of the first are sent before',
    ),
    { file: 'machines/dispatcher-actors.js', find: 'if (turnTaken)', replace: 'if (false)' },
  ),
  bug(
    'of the outcomes of a commit all but the first are forgotten',
    [
      'machines/prefetch-walk.test.ts',
      'whatever happens, in any order no slot is given or requested twice, nothing runs without a start, no outcome is lost or reported twice',
    ],
    {
      file: 'machines/prefetch.js',
      find: 'const events = this.#outcomes;',
      replace: 'const events = this.#outcomes.slice(0, 1);',
    },
  ),
  bug(
    'a drain forgets what was started and not told of when it began',
    prefetch('a drain gives back what the store had started but not reported, and runs none of it'),
    {
      file: 'machines/prefetch.js',
      find: `        if (!this.#leasing)
            this.#giveBack(0);`,
      replace: `        if (!this.#leasing)
            this.#next = [];`,
    },
  ),
  bug(
    'a drain runs what was started and not told of when it began',
    stop('a stop gives back a job that is started on disk but whose handler was not called yet'),
    {
      file: 'machines/prefetch.js',
      find: `        if (!this.#leasing)
            this.#giveBack(0);`,
      replace: '',
    },
  ),
  bug(
    'a drain does not wait for the answer to a lease',
    dispatcher('a dispatcher told to drain gives back the jobs of a lease that was being answered, and waits for that'),
    { file: 'machines/prefetch.js', find: 'leased === 0', replace: 'true' },
  ),
  bug(
    'jobs are leased ahead of slots that do not come free',
    prefetch('prefetched jobs are not requested if slots rarely become free'),
    {
      file: 'machines/prefetch.js',
      find: 'Math.floor((Math.max(this.#rate, this.#freed) * withinMs) / rateMs)',
      replace: '9',
    },
  ),
  bug(
    'jobs are leased ahead on end, and the store asked on end where it has none',
    prefetch('prefetched jobs are not requested if the store had fewer jobs than requested, and the request waits'),
    {
      file: 'machines/prefetch.js',
      find: `        if (!this.#hasMore)
            return 0;`,
      replace: '',
    },
  ),
  bug(
    'a slot that comes free while jobs are asked for ahead is asked for besides',
    prefetch(
      'prefetched jobs serve a slot that becomes free while they are requested: no other job is requested for it',
    ),
    {
      file: 'machines/prefetch.js',
      find: 'this.#slots.freeCount - this.#next.length - this.#asked',
      replace: 'this.#slots.freeCount - this.#next.length',
    },
  ),
  bug(
    'requests for jobs ahead wait until there are some',
    dispatcher(
      'a dispatcher under a load of short jobs requests jobs ahead together with an outcome, and does not wait for them',
    ),
    { file: 'machines/prefetch.js', find: 'wait: !this.#hasMore', replace: 'wait: true' },
  ),
  bug(
    'a loop that is late takes many slots for a fast pace',
    prefetch('prefetched jobs are as few as slots become free in that time, even if the loop measured late'),
    { file: 'machines/prefetch.js', find: '(this.#freed * rateMs) / Math.max(tookMs, rateMs)', replace: 'this.#freed' },
  ),
  bug(
    'a job that was leased ahead is said to have been called',
    ['observe/explain/explain.test.ts', 'the summary of a job that is next'],
    { file: 'observe/explain/facts.js', find: `attempt?.phase === 'next'`, replace: 'attempt?.phase === null' },
  ),
  bug(
    'a job that was leased ahead waits behind long attempts',
    dispatcher('a dispatcher under a load of short jobs gives it back if no slot becomes free for a tenth of a second'),
    { file: 'machines/prefetch.js', find: 'this.#giveBack(this.#rate);', replace: '' },
  ),
  bug(
    'a job that was leased ahead runs though it is cancelled',
    dispatcher('a dispatcher under a load of short jobs forgets it if it is cancelled'),
    {
      file: 'machines/prefetch.js',
      find: '!gone.has(nameOf(job))',
      replace: 'true',
    },
  ),
  bug(
    'a drain forgets what was leased ahead',
    dispatcher('a dispatcher under a load of short jobs gives it back when told to drain, and waits for that'),
    {
      file: 'machines/prefetch.js',
      find: `        this.#leasing = false;
        this.#giveBack(0);`,
      replace: `        this.#leasing = false;
        this.#next = [];`,
    },
  ),
  bug(
    'the handlers of jobs that were leased ahead are called before the outcome that freed their slot is on its way',
    prefetch('a commit is due at once if a handler is to be called next'),
    { file: 'machines/prefetch.js', find: 'isFirst || runsNext', replace: 'isFirst' },
  ),
  bug(
    'the pace of a load is remembered when it has passed',
    prefetch('prefetched jobs are measured, with the pace, until no slot became free for 100 ms'),
    {
      file: 'machines/prefetch.js',
      find: 'this.#rate + this.#freed + this.#next.length',
      replace: 'this.#freed + this.#next.length',
    },
  ),
  bug('a drain ends before its last commit is on disk', prefetch('a drain ends only when the last commit is on disk'), {
    file: 'machines/prefetch.js',
    find: 'this.#committing.length === 0 && this.#outcomes.length === 0',
    replace: 'this.#outcomes.length === 0',
  }),
  bug(
    'the slot of a handler that goes on is given away',
    slots('a handler that continues after its attempt was given up keeps its slot until it ends'),
    {
      file: 'machines/slots.js',
      find: `        if (to === 'stuck')
            this.#stuckCount++;`,
      replace: `        if (to === 'stuck') {
            this.#free.push(assigned.slot);
            this.#stuckCount++;
        }`,
    },
  ),
  bug(
    'slots that are all stuck are not noticed',
    dispatcher('a dispatcher reports once that every slot is held by a handler that does not end'),
    {
      file: 'machines/slots.js',
      find: 'return this.#stuckCount === this.count;',
      replace: 'return this.#stuckCount > this.count;',
    },
  ),
  bug(
    'a lost lease is heard of and not acted on',
    system(
      'cancelling a running job fires its signal, frees its slot when it really ends, and refuses its late success',
    ),
    {
      file: 'engine/system.js',
      find: 'this.#dispatcher?.send(event); timers.setImmediate(() => this.#dispatcher?.send(event));',
      replace: '',
    },
  ),
  bug(
    'a job that was cancelled and requeued runs before its call of before has heard of it',
    system(
      'requeueing right after a cancel calls the handler again only once the signal of the previous call has fired',
    ),
    {
      file: 'engine/system.js',
      find: 'this.#dispatcher?.send(event); timers.setImmediate(() => this.#dispatcher?.send(event));',
      replace: 'timers.setImmediate(() => this.#dispatcher?.send(event));',
    },
  ),
  bug(
    'that a lease is lost comes ahead of the job that it was for',
    [
      'system-takeover.test.ts',
      'a job that another owner took over between its start and the call of its handler has its signal fired',
    ],
    {
      file: 'engine/system.js',
      find: 'timers.setImmediate(() => this.#dispatcher?.send(event));',
      replace: '',
    },
  ),
]

const attempts: readonly Mutation[] = [
  bug(
    'time in which the process did not run counts against an attempt',
    [
      'engine/dispatch/attempt-timer.test.ts',
      'the timer of an attempt fires later by the time in which the process did not run, however often it stopped',
    ],
    { file: 'engine/dispatch/attempt-timer.js', find: 'if (stoppedMs > this.#addedMs)', replace: 'if (false)' },
  ),
  bug(
    'an attempt belongs to the trace in which the system was started',
    tracing('an attempt is active while its handler runs, whatever was active when the system started'),
    {
      file: 'observe/tracing/tracing.js',
      find: 'api.ROOT_CONTEXT',
      replace: 'api.context.active()',
    },
  ),
  bug(
    'a job that failed keeps no trace of its attempt',
    tracing('an attempt that fails has the error, and each retry a link to the attempt before, also after a restart'),
    { file: 'observe/tracing/spans.js', find: `event.event !== 'succeed'`, replace: `event.event === 'succeed'` },
  ),
  bug(
    'a handler that succeeds after its timeout has succeeded',
    attempt('an attempt that takes too long fails even if it then resolves within its grace'),
    { file: 'engine/dispatch/attempt.js', find: '(this.#eventOfAbort() ?? outcome())', replace: 'outcome()' },
  ),
  bug(
    'a handler that was given up has a second outcome when it ends',
    attempt('an attempt that takes too long but finally ends frees its slot once, without a second outcome'),
    {
      file: 'engine/dispatch/attempt.js',
      find: `        if (this.#settled) {
            this.#report.ended();
            return;
        }`,
      replace: '        if (this.#settled) this.#report.ended();',
    },
  ),
  bug(
    'an error that no retry can mend is retried',
    attempt('an error that says what to do PermanentError rejects the job at once'),
    {
      file: 'engine/dispatch/attempt.js',
      find: 'thrown instanceof PermanentError',
      replace: 'false',
    },
  ),
  bug(
    'an error of another copy of the package is none of ours',
    attempt('an error that says what to do says so even if it is of another copy of the package'),
    { file: 'errors.js', find: 'ownBrand(at) === asked', replace: 'false' },
  ),
  bug(
    'a Map and an instance are stored as objects',
    ['job/payload.test.ts', 'a payload that is accepted comes back equal, or as its toJSON says'],
    { file: 'job/payload.js', find: 'if (prototype !== objects)', replace: 'if (prototype === null)' },
  ),
  bug(
    'a snooze of nothing runs at once',
    attempt(
      'an error that says what to do SnoozeError of 0 ms after 4 transitions waits 1000: a history grows ever more slowly',
    ),
    {
      file: 'engine/dispatch/attempt.js',
      find: 'Math.max(delayMs, snoozeMinMs, this.#job.leaseToken)',
      replace: 'Math.max(delayMs, 0)',
    },
  ),
  bug(
    'each attempt has a token of its own',
    attempt('an attempt gets its number, and a token that all attempts of the job share'),
    {
      file: 'engine/dispatch/attempt.js',
      find: 'this.idempotencyToken = `${databaseId}.${id}`',
      replace: 'this.idempotencyToken = `${databaseId}.${id}.${attempt}`',
    },
  ),
  bug(
    'the handler gets the payload of the attempt before',
    attempt('an attempt gets a separate copy of the payload: changes by an earlier attempt are gone'),
    {
      file: 'engine/dispatch/attempt.js',
      find: 'JSON.parse(json)',
      replace: '((globalThis.parsed ??= {})[json] ??= JSON.parse(json))',
    },
  ),
  bug(
    'a shutdown fails the attempt that it aborts',
    attempt('an attempt that is aborted by a shutdown gives the job back if it throws, and succeeds if it finishes'),
    {
      file: 'engine/dispatch/attempt.js',
      find: `if (this.aborted?.reason instanceof ShutdownError) return this.#event('release');`,
      replace: '',
    },
  ),
  bug(
    'the first retry waits as long as the second',
    system('a job that fails waits for its backoff, doubled each time, and runs again'),
    {
      file: 'handlers/backoff.js',
      find: '2 ** (attempt - 1)',
      replace: '2 ** attempt',
    },
  ),
]

const reporting: readonly Mutation[] = [
  bug(
    'a report is written after its attempt',
    reports('goes with the outcome if that is sooner, and nothing is written after it'),
    {
      file: 'engine/dispatch/reports.js',
      find: 'this.#waiting.delete(open);\n                if (this.#waiting.size === 0)\n                    this.#rest();',
      replace: '',
    },
  ),
  bug(
    'an outcome leaves behind what was reported last',
    ofSystem('progress is stored with the end of the attempt, however soon that is'),
    { file: 'engine/dispatch/attempt.js', find: 'event && report ? { ...event, report } : event', replace: 'event' },
  ),
  bug('one write of reports overtakes the other', reports('waits until the write before has ended'), {
    file: 'engine/dispatch/reports.js',
    find: 'this.#timer !== undefined || this.#writing',
    replace: 'this.#timer !== undefined',
  }),
  bug('a report is written at once', reports('is written once a second, all jobs together, the last progress only'), {
    file: 'engine/dispatch/reports.js',
    find: 'const writeMs = 1_000;',
    replace: 'const writeMs = 100;',
  }),
  bug(
    'a flood of lines fills the memory',
    reports('is bounded: of a flood the newest lines are kept, and the log says how many are not'),
    { file: 'engine/dispatch/handler-report.js', find: 'count > linesMax', replace: 'false' },
  ),
  bug(
    'long lines of many handlers fill the memory',
    reports('of long lines is bounded in bytes, of one attempt and of all together'),
    { file: 'engine/dispatch/handler-report.js', find: 'this.#shared.bytes > allBytesMax', replace: 'false' },
  ),
  bug(
    'nobody says that lines were dropped',
    reports('is lost if it cannot be stored, except for the progress, and its log says how many lines were'),
    { file: 'engine/dispatch/handler-report.js', find: 'this.#dropped > 0', replace: 'false' },
  ),
  bug(
    'a log is kept although its handler says that it is not',
    ofSystem('a log is not kept if its handler or the system says so, and the log of the process has the lines'),
    { file: 'engine/dispatch/attempt.js', find: 'this.#handler?.keepLog !== false', replace: 'true' },
  ),
  bug(
    'a client that comes back is told of old progress',
    ['http/reports.test.ts', 'the progress of jobs on /events is not told again to a client that comes back'],
    { file: 'http/events/progress-tail.js', find: 'isFirst ? [] : fresh.reverse()', replace: 'fresh.reverse()' },
  ),
]

const around: readonly Mutation[] = [
  bug('a grace longer than a timer can wait ends at once', stop('a stop may wait forever'), {
    file: 'engine/system.js',
    find: 'Math.min(graceMs, timerMaxMs)',
    replace: 'graceMs',
  }),
  bug(
    'the bound on calls under way is off by one',
    ['engine/admission-gate.test.ts', 'the gate lets ten thousand calls in, and the next one waits for one to leave'],
    {
      file: 'engine/admission-gate.js',
      find: 'this.#underWay < underWayMax',
      replace: 'this.#underWay <= underWayMax',
    },
  ),
  bug(
    'the bound on waiting calls is off by one',
    ['engine/admission-gate.test.ts', 'the gate refuses a call if a hundred thousand wait, and says when to try again'],
    {
      file: 'engine/admission-gate.js',
      find: 'this.#waiting.length >= waitingMax',
      replace: 'this.#waiting.length > waitingMax',
    },
  ),
  bug(
    'a call that waited is counted twice',
    ['engine/admission-gate.test.ts', 'the gate is empty again when all have left'],
    {
      file: 'engine/admission-gate.js',
      find: 'next();',
      replace: '{ next(); this.#underWay++; }',
    },
  ),
  bug(
    'a server whose commits fail says that it is ready',
    [
      'http/health.test.ts',
      'while another process keeps the file locked writes are refused with 503 and never stored, and the server is ready again when the lock is gone',
    ],
    {
      file: 'engine/system.js',
      find: 'serving: this.#trouble?.message ?? null',
      replace: 'serving: null',
    },
  ),
  bug('while it drains it takes new jobs', stop('while it drains a system answers reads and refuses writes'), {
    file: 'engine/system.js',
    find: `this.#phase === 'draining' || this.#phase === 'stopped'`,
    replace: `this.#phase === 'stopped'`,
  }),
]

export const engineBugs: readonly Mutation[] = [...machine, ...dispatching, ...attempts, ...reporting, ...around]
