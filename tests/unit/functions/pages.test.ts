import { describe, expect, it } from 'vitest'
import { unanswered } from '../../../functions/worker/ask.ts'
import { OutboundFailure } from '../../../functions/worker/outbound-failure.ts'
import { keysOf, readPage } from '../../../functions/worker/pages.ts'

const url = 'https://shop.example/list?shop=1'
const from = (link?: string, at = url) => ({ url: at, headers: new Headers(link ? { link } : {}) })
const nextOf = (text: string, options: Parameters<typeof readPage>[3], link?: string) =>
  readPage(text, url, from(link), options).next

describe('a page', () => {
  it('has its records where the path leads, with numbers as they are written', () => {
    const text = '{"a": {"b": [ {"n": 12345678901234567890, "p": 1.10} ]}, "c": [1]}'
    expect(readPage(text, url, from(), { path: 'a.b' }).records).toBe('[{"n":12345678901234567890,"p":1.10}]')
    expect(readPage(' [{}] ', url, from(), {}).records).toBe('[{}]')
    expect(readPage('{"items": null}', url, from(), { path: 'items' }).records).toBe('[]')
  })

  it.each([
    ['{"error": 1}', { path: 'items' }],
    ['{"items": {}}', { path: 'items' }],
    ['{"items": [}', { path: 'items' }],
    ['{"a": 1}', {}],
    ['Sorry', { path: 'items' }],
    ['', {}],
  ])('that is none is said so: %s', (text, options) => {
    expect(() => readPage(text, url, from(), options)).toThrow('source is not data')
  })

  it('names the next one by its address', () => {
    const options = { path: 'i', next: 'next.href' }
    expect(nextOf('{"i": [], "next": {"href": "/list?p=2"}}', options)).toBe('https://shop.example/list?p=2')
    expect(nextOf('{"i": [], "next": {"href": null}}', options)).toBeUndefined()
    expect(nextOf('{"i": [], "next": {"href": ""}}', options)).toBeUndefined()
    expect(nextOf('{"i": []}', options)).toBeUndefined()
    expect(() => nextOf(`{"i": [], "next": {"href": "${url}"}}`, options)).toThrow('source does not end')
  })

  it('which is one of where a redirect led', () => {
    const { next } = readPage('{"i": [], "n": "?p=2"}', url, from(undefined, 'https://shop.example/v2/all'), {
      path: 'i',
      next: 'n',
    })
    expect(next).toBe('https://shop.example/v2/all?p=2')
  })

  it('by a cursor', () => {
    const options = { path: 'i', cursor: 'c', cursor_parameter: 'after' }
    expect(nextOf('{"i": [], "c": "a b"}', options)).toBe('https://shop.example/list?shop=1&after=a+b')
    expect(nextOf('{"i": [], "c": 7}', options)).toBe('https://shop.example/list?shop=1&after=7')
    expect(nextOf('{"i": [], "c": null}', options)).toBeUndefined()
  })

  it('or in a header', () => {
    const options = { next: 'header' }
    const link = '<https://shop.example/1>; rel="prev", <https://shop.example/3>; rel="next"; title="x"'
    expect(nextOf('[]', options, link)).toBe('https://shop.example/3')
    expect(nextOf('[]', options, '</2>; rel=next')).toBe('https://shop.example/2')
    expect(nextOf('[]', options, '</2>; rel="nextish"')).toBeUndefined()
    expect(nextOf('[]', options)).toBeUndefined()
  })
})

it('the keys of records are those of all of them', () => {
  expect(keysOf('[ {"a": 1, "b": [{"x": 1}]}, {"c": "}"} ]')).toEqual(['a', 'b', 'c'])
  expect(keysOf('[]')).toEqual([])
})

it.each([
  ['timed_out', '08001'],
  ['unknown_host', '08001'],
  ['broken_answer', '08001'],
  ['address_refused', 'SY005'],
  ['too_large', 'SY003'],
  ['too_many_redirects', 'SY002'],
] as const)('a request that ends as %s fails the attempt with %s', (code, sqlstate) => {
  expect(unanswered(new OutboundFailure(code, 'words')).error).toMatchObject({
    code: sqlstate,
    details: 'words',
  })
})
