import { expect, test } from 'vitest'
import { AnswerReader } from '../../bench/answer-reader.ts'

const answer = (body: string, status = '201 Created') =>
  Buffer.from(`HTTP/1.1 ${status}\r\nDate: today\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)

test('two answers are counted wherever they are split into two pieces', () => {
  const bytes = Buffer.concat([answer('{"id":1}'), answer('{"message":"\r\n\r\n"}')])

  for (let cut = 1; cut < bytes.length; cut++) {
    const reader = new AnswerReader(201)
    expect([cut, reader.take(bytes.subarray(0, cut)) + reader.take(bytes.subarray(cut))]).toEqual([cut, 2])
  }
})

test('an answer that arrives byte by byte is counted with its last byte', () => {
  const reader = new AnswerReader(201)

  const counts = [...answer('{"id":1}')].map((byte) => reader.take(Buffer.from([byte])))

  expect(counts.slice(0, -1).every((count) => count === 0)).toBe(true)
  expect(counts.at(-1)).toBe(1)
})

test.each([
  ['another status', answer('{}', '429 Too Many Requests')],
  ['no length', Buffer.from('HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n')],
])('an answer with %s does not count as an answer', (_, bytes) => {
  expect(() => new AnswerReader(201).take(bytes)).toThrow('no 201')
})
