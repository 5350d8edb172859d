import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { readEnvironment } from '../../src/cli/environment.ts'
import { ConfigError } from '../../src/errors.ts'

type Env = Record<string, string>
const read = (env: Env, dotEnv = '') => readEnvironment(env, dotEnv)

/** The lines that refuse a configuration; none if it is accepted. */
function problemsOf(env: Env, dotEnv = ''): readonly string[] {
  try {
    read(env, dotEnv)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

const token = 'sixteen-letters!'

test('without any settings the defaults apply', () => {
  expect(read({})).toEqual({
    settings: {
      workers: 10,
      leaseMs: 30_000,
      jobTimeoutMs: 300_000,
      retryBaseMs: 1_000,
      retryMaxMs: 3_600_000,
      retentionMs: 604_800_000,
      maxQueueDepth: 1_000_000,
      maxDepthPerQueue: 800_000,
      maxPayloadBytes: 262_144,
      maxPayloadValues: 10_000,
      maxResultBytes: 65_536,
      shutdownGraceMs: 25_000,
    },
    isGraceKnown: false,
    warnings: [],
    host: '127.0.0.1',
    port: 8080,
    allowedHosts: [],
    basePath: '',
    databasePath: './data/jobs.db',
    postgres: null,
    secureDelete: false,
    retention: undefined,
    keepLogs: true,
    apiToken: null,
    maxRequestBytes: 8_388_608,
    maxInFlightRequests: 1_000,
    logLevel: 'info',
    smtp: { host: undefined, port: 587, user: undefined, password: undefined, from: undefined },
    webhook: { allowPrivate: false, secret: undefined },
  })
})

test('one queue may have four fifths of the waiting jobs unless set otherwise', () => {
  expect(read({ MAX_QUEUE_DEPTH: '1001' }).settings.maxDepthPerQueue).toBe(801)
  expect(read({ MAX_QUEUE_DEPTH: '1' }).settings.maxDepthPerQueue).toBe(1)
  expect(read({ MAX_QUEUE_DEPTH: '10', MAX_DEPTH_PER_QUEUE: '10' }).settings.maxDepthPerQueue).toBe(10)
})

test.each([
  ['/', ''],
  ['/jobs-admin', '/jobs-admin'],
  ['/jobs-admin/', '/jobs-admin'],
  ['/ops/v1.2/jobs_~', '/ops/v1.2/jobs_~'],
])('the path %s is put before all others as %j', (given, basePath) => {
  expect(read({ BASE_PATH: given }).basePath).toBe(basePath)
})

describe('a number', () => {
  const numbers: [string, number, number, (config: ReturnType<typeof read>) => number][] = [
    ['PORT', 0, 65_535, ({ port }) => port],
    ['WORKER_COUNT', 1, 1_000, ({ settings }) => settings.workers],
    ['LEASE_MS', 100, 86_400_000, ({ settings }) => settings.leaseMs],
    ['JOB_TIMEOUT_MS', 1, 86_400_000, ({ settings }) => settings.jobTimeoutMs],
    ['RETRY_BASE_MS', 1, 86_400_000, ({ settings }) => settings.retryBaseMs],
    ['RETRY_MAX_MS', 1, 31_536_000_000, ({ settings }) => settings.retryMaxMs],
    ['RETENTION_MS', 0, 3_155_760_000_000, ({ settings }) => settings.retentionMs],
    ['MAX_REQUEST_BYTES', 1_024, 1_073_741_824, ({ maxRequestBytes }) => maxRequestBytes],
    ['MAX_IN_FLIGHT_REQUESTS', 1, 100_000, ({ maxInFlightRequests }) => maxInFlightRequests],
    ['MAX_QUEUE_DEPTH', 1, 1_000_000_000, ({ settings }) => settings.maxQueueDepth],
    ['MAX_DEPTH_PER_QUEUE', 1, 1_000_000_000, ({ settings }) => settings.maxDepthPerQueue],
    ['MAX_PAYLOAD_BYTES', 1, 268_435_456, ({ settings }) => settings.maxPayloadBytes],
    ['MAX_PAYLOAD_VALUES', 1, 10_000_000, ({ settings }) => settings.maxPayloadValues],
    ['MAX_RESULT_BYTES', 1, 268_435_456, ({ settings }) => settings.maxResultBytes],
    ['SHUTDOWN_GRACE_MS', 0, 86_400_000, ({ settings }) => settings.shutdownGraceMs],
    ['SMTP_PORT', 1, 65_535, ({ smtp }) => smtp.port ?? 0],
  ]
  /** Separates the bounds of one backoff from those of the other. */
  const beside = (name: string): Env =>
    name === 'RETRY_BASE_MS' ? { RETRY_MAX_MS: '31536000000' } : name === 'RETRY_MAX_MS' ? { RETRY_BASE_MS: '1' } : {}

  test.each(numbers)('%s is accepted from %d to %d', (name, min, max, of) => {
    for (const value of [min, max]) expect(of(read({ ...beside(name), [name]: `${value}` }))).toBe(value)
  })

  test.each(numbers)('%s outside its range, or without a number, is refused in one line', (name, min, max) => {
    const values = [
      `${min - 1}`,
      `${max + 1}`,
      'x',
      '1.5',
      '1e3',
      '0x10',
      '-1',
      '+1',
      ' 1',
      '1 ',
      'NaN',
      'Infinity',
      '9'.repeat(30),
      '１',
      '1\n2',
    ]
    for (const value of values) {
      expect(problemsOf({ ...beside(name), [name]: value })).toEqual([
        `${name} is ${JSON.stringify(value)}; it must be a whole number from ${min} to ${max}`,
      ])
    }
  })
})

describe('any other variable', () => {
  test.each([
    ['HOST', 'local host', 'an address or a host name'],
    ['HOST', 'http://localhost', 'an address or a host name'],
    ['HOST', 'localhost/x', 'an address or a host name'],
    ['ALLOWED_HOSTS', 'http://jobs.example', 'host names, separated by commas'],
    ['ALLOWED_HOSTS', '*', 'host names, separated by commas'],
    ...['jobs', '/jobs admin', '//x', '/a//b', '/a/../b', '/a?b', '/ä', '/.'].map((path): [string, string, string] => [
      'BASE_PATH',
      path,
      'a path such as /jobs-admin: letters, digits and . _ ~ - between slashes',
    ]),
    ['DATABASE_PATH', 'a\0b', 'a path'],
    ['DATABASE_PATH', 'a\nb', 'a path'],
    ['SMTP_TLS', 'none', 'one of: implicit, starttls'],
    ['LOG_LEVEL', 'loud', 'one of: fatal, error, warn, info, debug, trace, silent'],
    ['LOG_LEVEL', 'INFO', 'one of: fatal, error, warn, info, debug, trace, silent'],
    ['SMTP_HOST', 'smtp example', 'an address or a host name'],
    ['SMTP_USER', 'a\nb', 'a user name'],
    ['SMTP_FROM', 'nobody', 'a mail address'],
    ['GMAIL_USER', 'a@b c', 'a mail address'],
    ['WEBHOOK_ALLOW_PRIVATE', 'yes', 'true or false'],
    ['WEBHOOK_ALLOW_PRIVATE', '1', 'true or false'],
    ['WEBHOOK_ALLOW_PRIVATE', 'TRUE', 'true or false'],
    ['SECURE_DELETE', 'on', 'true or false'],
    ['KEEP_JOB_LOGS', 'no', 'true or false'],
  ])('%s=%s is refused in one line that says what it must be', (name, value, takes) => {
    expect(problemsOf({ [name]: value })).toEqual([`${name} is ${JSON.stringify(value)}; it must be ${takes}`])
  })

  test.each([
    ['API_TOKEN', 'fifteen-letters', 'at least 16 characters, without spaces'],
    ['API_TOKEN', 'seventeen letters', 'at least 16 characters, without spaces'],
    ['API_TOKEN', 'sixteen-lettérs!!', 'at least 16 characters, without spaces'],
    ['SMTP_PASSWORD', 'hunter2\n', 'a password'],
    ['GMAIL_APP_PASSWORD', 'hunter2\0', 'a password'],
    ['WEBHOOK_SECRET', 'whsec_!', 'ASCII text, or whsec_ and base64 with its padding'],
    ['WEBHOOK_SECRET', 'whsec_', 'ASCII text, or whsec_ and base64 with its padding'],
    ['WEBHOOK_SECRET', 'whsec_A', 'ASCII text, or whsec_ and base64 with its padding'],
    ['WEBHOOK_SECRET', 'whsec_QQ', 'ASCII text, or whsec_ and base64 with its padding'],
    ['WEBHOOK_SECRET', 'Schlüssel', 'ASCII text, or whsec_ and base64 with its padding'],
    ['WEBHOOK_SECRET', 'whsec_====', 'ASCII text, or whsec_ and base64 with its padding'],
  ])('%s, which is a secret, is refused without repeating it', (name, value, takes) => {
    expect(problemsOf({ [name]: value })).toEqual([
      `${name} is a value of ${value.length} characters; it must be ${takes}`,
    ])
  })

  test('with a valid value is accepted unchanged', () => {
    const config = read({
      HOST: '::1',
      ALLOWED_HOSTS: 'jobs.example, [2001:db8::7]:80 ,, other.example',
      DATABASE_PATH: '/var/lib/jobs of mine/ä.db',
      API_TOKEN: token,
      LOG_LEVEL: 'silent',
      SMTP_HOST: 'smtp.example',
      SMTP_PORT: '465',
      SMTP_USER: 'api key',
      SMTP_PASSWORD: 'p w="#"',
      SMTP_FROM: 'jobs@example.com',
      WEBHOOK_ALLOW_PRIVATE: 'true',
      SECURE_DELETE: 'true',
      KEEP_JOB_LOGS: 'false',
      RETENTION: '{"dead":{"ms":5},"types":{"email":{"succeeded":{"count":9}}}}',
      WEBHOOK_SECRET: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
    })

    expect(config).toMatchObject({
      host: '::1',
      allowedHosts: ['jobs.example', '[2001:db8::7]:80', 'other.example'],
      databasePath: '/var/lib/jobs of mine/ä.db',
      secureDelete: true,
      keepLogs: false,
      retention: { dead: { ms: 5 }, types: { email: { succeeded: { count: 9 } } } },
      apiToken: token,
      logLevel: 'silent',
      smtp: { host: 'smtp.example', port: 465, user: 'api key', password: 'p w="#"', from: 'jobs@example.com' },
      webhook: { allowPrivate: true, secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' },
    })
  })

  test('GMAIL_USER and GMAIL_APP_PASSWORD are used to sign in, but SMTP_USER and SMTP_PASSWORD take precedence', () => {
    const gmail = { GMAIL_USER: 'me@gmail.com', GMAIL_APP_PASSWORD: 'abcd efgh' }

    expect(read(gmail).smtp).toMatchObject({ user: 'me@gmail.com', password: 'abcd efgh' })
    expect(read({ ...gmail, SMTP_USER: 'you', SMTP_PASSWORD: 'secret' }).smtp).toMatchObject({
      user: 'you',
      password: 'secret',
    })
  })

  test('HOST in brackets is the address inside them', () => {
    expect(read({ HOST: '[::1]' }).host).toBe('::1')
  })
})

describe('DATABASE_URL', () => {
  const address =
    'an address such as postgres://user:password@host:5432/app, in which special characters of the password are written as %23 and the like'

  test('is the database, with its schema', () => {
    const url = 'postgresql://me:secret@db.example:5433/app?sslmode=require'

    expect(read({ DATABASE_URL: url }).postgres).toEqual({ connectionString: url })
    for (const other of [
      'postgres://a,b:2/app',
      'postgres:///app?host=/tmp',
      'postgres://me@/app?host=%2Ftmp,%2Fvar',
      'postgres://me:a b%20c@[::1]:1/app',
    ])
      expect(problemsOf({ DATABASE_URL: other })).toEqual([])
    expect(read({ DATABASE_URL: url, DATABASE_SCHEMA: 'jobs_2' }).postgres).toEqual({
      connectionString: url,
      schema: 'jobs_2',
    })
  })

  test.each([
    [
      'another database',
      { DATABASE_URL: 'mysql://me:secret@db/app' },
      `DATABASE_URL is a value of 24 characters; it must be ${address}`,
    ],
    [
      'a path beside it',
      { DATABASE_URL: 'postgres://db/app', DATABASE_PATH: 'x.db' },
      'DATABASE_URL and DATABASE_PATH are both set; the jobs are in one of them',
    ],
    [
      'what is for a file',
      { DATABASE_URL: 'postgres://db/app', SECURE_DELETE: 'true' },
      'SECURE_DELETE is for a file; with DATABASE_URL it must be left out',
    ],
    [
      'an address that cannot be read, without its password',
      { DATABASE_URL: 'postgres://me:se#cret@db/app' },
      `DATABASE_URL is a value of 28 characters; it must be ${address}`,
    ],
    [
      'one of several servers',
      { DATABASE_URL: 'postgres://db:5432,other:port/app' },
      `DATABASE_URL is a value of 33 characters; it must be ${address}`,
    ],
    ['an empty value', { DATABASE_URL: '' }, `DATABASE_URL is set but empty; it must be ${address}, or be left out`],
    [
      'a schema that PostgreSQL keeps for itself',
      { DATABASE_URL: 'postgres://db/app', DATABASE_SCHEMA: 'pg_foo' },
      'DATABASE_SCHEMA is "pg_foo"; it must be 1 to 63 lower-case letters, digits and _, that begins with no digit and not with pg_',
    ],
    ['a schema alone', { DATABASE_SCHEMA: 'jobs' }, 'DATABASE_SCHEMA is set without DATABASE_URL'],
  ])('refuses %s', (_, env, problem) => {
    expect(problemsOf(env as Record<string, string>)).toEqual([problem])
  })
})

describe('RETENTION', () => {
  test.each([
    ['what is no JSON', '7d', /^RETENTION is "7d"; it must be JSON, such as \{"dead":\{"ms":7776000000\}/],
    ['another JSON value', '7', /^RETENTION is 7; it must be an object/],
    ['a wrong rule', '{"dead":{"ms":-1}}', /^RETENTION\.dead\.ms is -1; it must be a whole number from 0/],
  ])('refuses %s with the way to write it', (_, value, problem) => {
    expect(problemsOf({ RETENTION: value })).toEqual([expect.stringMatching(problem)])
  })
})

describe('an empty value', () => {
  test('counts as not set', () => {
    const names = [
      'HOST',
      'PORT',
      'ALLOWED_HOSTS',
      'BASE_PATH',
      'DATABASE_PATH',
      'WORKER_COUNT',
      'LOG_LEVEL',
      'SMTP_HOST',
      'SMTP_PASSWORD',
      'WEBHOOK_ALLOW_PRIVATE',
      'WEBHOOK_SECRET',
    ]

    expect(read(Object.fromEntries(names.map((name) => [name, ''])))).toEqual(read({}))
  })

  test('in the environment does not override the one in .env', () => {
    expect(read({ PORT: '' }, 'PORT=1234').port).toBe(1234)
  })

  test.each([
    ['the environment', { API_TOKEN: '' }, ''],
    ['.env', {}, 'API_TOKEN='],
    ['.env in quotes', {}, 'API_TOKEN=""'],
  ])('of API_TOKEN in %s is refused', (_, env, dotEnv) => {
    expect(problemsOf(env, dotEnv)).toEqual([
      'API_TOKEN is set but empty; it must be at least 16 characters, without spaces, or be left out',
    ])
  })
})

describe('.env', () => {
  test('has names and values, quotes, comments, spaces, exports and line ends of any kind', () => {
    const config = read(
      {},
      `# the server\r\nPORT=1234 # a port\r\n\n  WORKER_COUNT = 7\nexport LEASE_MS='5000'\nDATABASE_PATH="a # b.db"\nSMTP_PASSWORD='p"w\\n'\nnonsense\nUNKNOWN=1\n`,
    )

    expect([config.port, config.settings.workers, config.settings.leaseMs]).toEqual([1234, 7, 5000])
    expect([config.databasePath, config.smtp.password]).toEqual(['a # b.db', 'p"w\\n'])
  })

  test('may begin with a byte order mark', () => {
    expect(read({}, '\uFEFFPORT=1234').port).toBe(1234)
  })

  test('is overridden by the environment', () => {
    expect(read({ PORT: '1' }, 'PORT=2\nWORKER_COUNT=3')).toMatchObject({ port: 1, settings: { workers: 3 } })
  })

  test('is checked like the environment', () => {
    expect(problemsOf({}, 'PORT=x')).toEqual(['PORT is "x"; it must be a whole number from 0 to 65535'])
  })
})

describe('a HOST that others can reach', () => {
  test.each([
    '0.0.0.0',
    '::',
    '[::]',
    '192.168.1.5',
    'jobs.example',
    '0',
    '127.evil.example',
    '128.0.0.1',
    '::ffff:127.0.0.1',
  ])('%s is refused without a token, and accepted with one', (host) => {
    expect(problemsOf({ HOST: host })).toEqual([
      `HOST is ${JSON.stringify(host.replace(/[[\]]/g, ''))}, which others can reach; that requires an API_TOKEN of at least 16 characters`,
    ])
    expect(problemsOf({ HOST: host, API_TOKEN: token })).toEqual([])
  })

  test.each(['127.0.0.1', '127.9.9.9', '::1', '[::1]', 'localhost', 'LOCALHOST'])('does not include %s', (host) => {
    expect(problemsOf({ HOST: host })).toEqual([])
  })
})

test('a longest delay below the first delay is refused', () => {
  expect(problemsOf({ RETRY_BASE_MS: '5000', RETRY_MAX_MS: '4999' })).toEqual([
    'RETRY_MAX_MS is 4999; it must be at least RETRY_BASE_MS, 5000',
  ])
})

test('all faults are reported at once, in the order of the variables', () => {
  expect(
    problemsOf({ PORT: 'x', LOG_LEVEL: 'loud', WORKER_COUNT: '0', API_TOKEN: '' }).map((line) => line.split(' ')[0]),
  ).toEqual(['API_TOKEN', 'PORT', 'WORKER_COUNT', 'LOG_LEVEL'])
  expect(problemsOf({ HOST: '0.0.0.0', RETRY_BASE_MS: '9', RETRY_MAX_MS: '8' })).toHaveLength(2)
})

test('a bad value and a HOST that others can reach are reported together', () => {
  expect(problemsOf({ HOST: '0.0.0.0', PORT: 'x' }).map((line) => line.split(' ')[0])).toEqual(['PORT', 'HOST'])
})

test.each<[Record<string, string>, string, boolean]>([
  [{ SHUTDOWN_GRACE_MS: '25000' }, '', true],
  [{}, 'SHUTDOWN_GRACE_MS=25000', true],
  [{ KUBERNETES_SERVICE_HOST: '10.96.0.1' }, '', true],
  [{ SHUTDOWN_GRACE_MS: '' }, '', false],
])('with the environment %j and .env %j the grace counts as chosen: %s', (env, dotEnv, isKnown) => {
  expect(readEnvironment(env, dotEnv).isGraceKnown).toBe(isKnown)
})

describe('a warning', () => {
  test('names a variable that is nearly a setting, in the environment and in .env, once', () => {
    const env = {
      WORKER_COUT: '4',
      HOME: '/root',
      PATH: '/bin',
      LOGNAME: 'ada',
      npm_config_port: '1',
      WORKER_COUNT: '3',
    }

    expect(read(env, 'WORKER_COUT=4\nSMTP_PASS=secret\nOTHER_APP=1').warnings).toEqual([
      'WORKER_COUT is not a setting; did you mean WORKER_COUNT?',
      'SMTP_PASS is not a setting; did you mean SMTP_PASSWORD?',
    ])
  })

  const short =
    'WEBHOOK_SECRET is shorter than the 24 to 64 bytes that Standard Webhooks asks for; create one with: echo whsec_$(openssl rand -base64 32)'

  test.each([
    ['twenty-three-bytes-long', [short]],
    [`whsec_${Buffer.alloc(23).toString('base64')}`, [short]],
    [`whsec_${Buffer.alloc(24).toString('base64')}`, []],
    ['twenty-four-bytes-of-txt', []],
  ])('says that a secret is short, as it signs: %s', (WEBHOOK_SECRET, warnings) => {
    expect(read({ WEBHOOK_SECRET }).warnings).toEqual(warnings)
  })
})

describe('a token that is easy to guess', () => {
  const weak = [
    ...['aaaaaaaaaaaaaaaa', 'abababababababab', '1234567890123456', '0123456789abcdef', 'ponmlkjihgfedcba'],
    ...['13579135791357913579', '11223344556677889900', 'deadbeefdeadbeef', 'Passw0rd!Passw0rd!', '0000000000000001'],
    ...[
      'a-token-of-enough-length',
      'at-least-16-characters',
      'API_TOKEN_API_TOKEN',
      'jobmachine-api-token',
      'changemechangeme',
    ],
    ...[
      'my-secret-api-token-123',
      'correct-horse-battery-staple',
      'qwertyuiopasdfgh',
      'thisisasecrettoken',
      'supersecretpassword',
    ],
  ]

  test.each(weak)(
    'such as %s is refused if others can reach the server, and the message says how to make one',
    (given) => {
      expect(problemsOf({ HOST: '0.0.0.0', API_TOKEN: given })).toEqual([
        'HOST is "0.0.0.0", which others can reach, and API_TOKEN is made of words, runs or repetitions that are easy to guess; create one with: openssl rand -hex 32',
      ])
      expect(problemsOf({ API_TOKEN: given })).toEqual([])
    },
  )

  test('does not include one that a machine generated', () => {
    for (let made = 0; made < 2_000; made++) {
      for (const encoding of ['hex', 'base64', 'base64url'] as const) {
        const given = randomBytes(32).toString(encoding)
        expect([given, problemsOf({ HOST: '0.0.0.0', API_TOKEN: given })]).toEqual([given, []])
      }
    }
    for (const given of ['0f8fad5b-d9cb-469f-a165-70867728950e', 'kX9#mQ2$vL5!nR8z', 'Tr7$wobble-Kaffee91']) {
      expect(problemsOf({ HOST: '0.0.0.0', API_TOKEN: given })).toEqual([])
    }
  })
})
