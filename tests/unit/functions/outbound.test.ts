import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { denoBinary, repositoryRoot } from '../../../local/binaries.ts'
import { selfSigned } from '../../support/certificate.ts'
import { type Nasty, startNasty } from '../../support/nasty.ts'

type Outcome = Record<string, unknown> & { ms: number; peak: number; headers: Record<string, string> }

const probe = join(repositoryRoot, 'tests/support/outbound-probe.ts')
const folder = mkdtempSync(join(tmpdir(), 'sluice-outbound-'))
const certificate = selfSigned('shop.test')
const other = selfSigned('other.test')
const trusted = join(folder, 'trusted.pem')
writeFileSync(trusted, certificate.cert + other.cert)

let nasty: Nasty
let secure: Nasty
let misnamed: Nasty
let untrusted: Nasty

beforeAll(async () => {
  nasty = await startNasty()
  secure = await startNasty(certificate)
  misnamed = await startNasty(other)
  untrusted = await startNasty(selfSigned('shop.test'))
})

afterAll(async () => {
  await Promise.all([nasty, secure, misnamed, untrusted].map((server) => server.stop()))
  rmSync(folder, { recursive: true })
})

describe.each([
  ['Node', process.execPath, ['--import', 'tsx', probe]],
  [
    'Deno',
    denoBinary(),
    [
      'run',
      '-A',
      '--quiet',
      '--cached-only',
      '--no-lock',
      '--config',
      join(repositoryRoot, 'deno.json'),
      probe,
    ],
  ],
])('a request to the outside, on %s', (_, command, parameters) => {
  let child: ChildProcess
  let answers: AsyncIterator<string>

  beforeAll(() => {
    child = spawn(command, parameters, {
      cwd: repositoryRoot,
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, NODE_EXTRA_CA_CERTS: trusted, DENO_CERT: trusted },
    })
    if (!child.stdout) throw new Error('no output')
    answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  })

  beforeEach(() => {
    nasty.received.length = 0
  })

  afterAll(() => void child.kill())

  async function ask(url: string, options: Record<string, unknown> = {}): Promise<Outcome> {
    child.stdin?.write(`${JSON.stringify({ url, allowPrivate: true, maxBytes: 1_000_000, ...options })}\n`)
    return JSON.parse((await answers.next()).value)
  }

  const get = (path: string, options?: Record<string, unknown>) => ask(`${nasty.url}/${path}`, options)

  it('gets an answer, and tells who asks', async () => {
    expect(await get('ok?a=1&b=%20')).toMatchObject({
      status: 200,
      body: 'fine',
      url: `${nasty.url}/ok?a=1&b=%20`,
    })
    expect(nasty.received).toMatchObject([
      {
        method: 'GET',
        url: '/ok?a=1&b=%20',
        headers: { host: `127.0.0.1:${nasty.port}`, 'user-agent': 'Sluice' },
      },
    ])
  })

  it('sends a body and headers', async () => {
    const answer = await get('status?code=201', {
      method: 'POST',
      body: '{"ä":1}',
      headers: { 'X-Mine': 'yes', Host: 'x' },
    })
    expect(answer).toMatchObject({ status: 201, body: 'as asked' })
    expect(nasty.received).toMatchObject([
      {
        method: 'POST',
        body: '{"ä":1}',
        headers: { 'x-mine': 'yes', 'content-length': '8', host: `127.0.0.1:${nasty.port}` },
      },
    ])
  })

  it.each([
    ['chunked', 'one two'],
    ['to-close', 'until the end'],
    ['hints', 'fine'],
    ['packed', 'unpacked'],
    ['status?code=204', ''],
    ['status?code=304', ''],
    ['status?code=500', 'as asked'],
  ])('reads %s', async (path, body) => {
    expect(await get(path)).toMatchObject({ body, status: expect.any(Number) })
  })

  it('reads no body where there is none', async () => {
    expect(await get('ok', { method: 'HEAD' })).toMatchObject({
      status: 200,
      length: 0,
    })
  })

  describe('refuses', () => {
    it.each([
      'ftp://example.com/',
      'file:///etc/passwd',
      'javascript:1',
      'data:,1',
      'not a url',
      '',
      '//example.com',
      'http://',
      'http://user:secret@example.com/',
      'https://user@example.com/',
    ])('%s', async (url) => {
      const answer = await ask(url)
      expect(answer).toMatchObject({ failed: 'invalid_request' })
      expect(JSON.stringify(answer)).not.toContain('secret')
    })

    it('a header that would be two', async () => {
      expect(await get('ok', { headers: { 'x-a': '1\r\nx-b: 2' } })).toMatchObject({
        failed: 'invalid_request',
      })
      expect(await get('ok', { headers: { 'x a': '1' } })).toMatchObject({ failed: 'invalid_request' })
      expect(nasty.received).toEqual([])
    })

    it.each([
      'http://127.0.0.1:@/',
      'http://localhost:@/',
      'http://LOCALHOST:@/',
      'http://127.1:@/',
      'http://2130706433:@/',
      'http://0x7f000001:@/',
      'http://0177.0.0.1:@/',
      'http://①②⑦.0.0.1:@/',
      'http://[::1]:@/',
      'http://[::ffff:127.0.0.1]:@/',
      'http://[::ffff:7f00:1]:@/',
      'http://[::127.0.0.1]:@/',
      'http://[64:ff9b::7f00:1]:@/',
      'http://0.0.0.0:@/',
      'http://0:@/',
      'http://[::]:@/',
      'http://10.0.0.1/',
      'http://172.16.0.1/',
      'http://192.168.1.1/',
      'http://100.64.0.1/',
      'http://169.254.169.254/latest/meta-data/',
      'http://[fd00:ec2::254]/',
      'http://[fe80::1]/',
      'http://[fc00::1]/',
      'http://224.0.0.1/',
      'http://255.255.255.255/',
      'https://127.0.0.1:@/',
    ])('%s', async (url) => {
      const answer = await ask(url.replace('@', String(nasty.port)), { allowPrivate: false })
      expect(answer).toMatchObject({ failed: 'address_refused', message: 'address is not on the internet' })
      expect(nasty.received).toEqual([])
    })

    it.each([
      'http://169.254.169.254/',
      'http://[::ffff:127.0.0.1]:@/',
      'http://100.100.100.200/',
      'http://0.0.0.0:@/',
      'http://[fe80::1]/',
    ])('%s also where private networks are allowed', async (url) => {
      expect(await ask(url.replace('@', String(nasty.port)))).toMatchObject({ failed: 'address_refused' })
    })

    it('a name with a private address among others', async () => {
      const names = { 'shop.test': [['93.184.215.14', '10.0.0.1']] }
      expect(await ask('http://shop.test/', { names, allowPrivate: false })).toMatchObject({
        failed: 'address_refused',
      })
    })
  })

  describe('names', () => {
    it('are resolved once, and that address is the one that is asked', async () => {
      // Whoever asks again gets the second answer; whoever resolves by other means gets none.
      const names = { 'shop.test': [['127.0.0.1'], ['169.254.169.254']] }
      expect(await ask(`http://shop.test:${nasty.port}/ok`, { names })).toMatchObject({ status: 200 })
      expect(nasty.received[0]?.headers.host).toBe(`shop.test:${nasty.port}`)
    })

    it('are resolved and judged anew at a redirect', async () => {
      const names = { 'shop.test': [['127.0.0.1'], ['169.254.169.254']] }
      const url = `http://shop.test:${nasty.port}/redirect?to=/ok`
      expect(await ask(url, { names })).toMatchObject({ failed: 'address_refused' })
      expect(nasty.received).toHaveLength(1)
    })

    it('that nobody knows are no secret', async () => {
      expect(await ask('http://shop.test/', { names: {} })).toMatchObject({
        failed: 'unknown_host',
        details: 'shop.test',
      })
      expect(await ask('http://nobody.invalid/')).toMatchObject({ failed: 'unknown_host' })
    })

    it('have further addresses for when one does not answer', async () => {
      const dead = await closedPort()
      const names = { 'shop.test': [['::1', '127.0.0.1']], 'dead.test': [['127.0.0.1', '::1']] }
      expect(await ask(`http://shop.test:${nasty.port}/ok`, { names })).toMatchObject({ status: 200 })
      expect(await ask(`http://dead.test:${dead}/ok`, { names })).toMatchObject({ failed: 'not_connected' })
    })
  })

  describe('TLS', () => {
    const names = () => ({ 'shop.test': [['127.0.0.1'], ['127.0.0.1']] })

    it('proves the name, not the address', async () => {
      const url = `https://shop.test:${secure.port}/ok`
      expect(await ask(url, { names: names() })).toMatchObject({ status: 200, body: 'fine' })
      expect(secure.received.at(-1)?.headers.host).toBe(`shop.test:${secure.port}`)
    })

    it('refuses the certificate of another name, of nobody, and of an address', async () => {
      for (const { port } of [misnamed, untrusted]) {
        const answer = await ask(`https://shop.test:${port}/ok`, { names: names() })
        expect(answer).toMatchObject({ failed: 'not_connected', message: 'host cannot be connected to' })
      }
      expect(await ask(`${secure.url}/ok`)).toMatchObject({ failed: 'not_connected' })
      expect(await ask(`https://127.0.0.1:${nasty.port}/ok`)).toMatchObject({ failed: 'not_connected' })
      expect([...misnamed.received, ...untrusted.received]).toEqual([])
    })
  })

  it('says nothing in the clear to who speaks no TLS', async () => {
    let heard = ''
    const plain = createServer((socket) => {
      socket.on('error', () => {})
      socket.on('data', (bytes) => {
        heard += bytes.toString('latin1')
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine')
      })
    })
    const port = await listening(plain)
    const answer = await ask(`https://127.0.0.1:${port}/in`, { headers: { 'x-api-key': 'a secret' } })
    plain.close()
    expect(answer).toMatchObject({ failed: 'not_connected' })
    expect(heard).not.toMatch(/HTTP|secret/)
  })

  describe('redirects', () => {
    it.each([301, 302, 303, 307, 308])('%i is followed', async (code) => {
      const answer = await get(`redirect?code=${code}&to=${encodeURIComponent('/redirect?to=/ok')}`)
      expect(answer).toMatchObject({ status: 200, body: 'fine', url: `${nasty.url}/ok` })
    })

    it('end after five', async () => {
      expect(await get('loop')).toMatchObject({ failed: 'too_many_redirects' })
      expect(nasty.received).toHaveLength(6)
    })

    it.each([
      'http://169.254.169.254/',
      'http://[::ffff:127.0.0.1]/',
      'file:///etc/passwd',
      'http://a:b@127.0.0.1/',
    ])('to %s are refused', async (to) => {
      const answer = await get(`redirect?to=${encodeURIComponent(to)}`)
      expect(answer).toMatchObject({ failed: expect.stringMatching(/^(address_refused|invalid_request)$/) })
    })

    it('take no secret to another origin, nor back', async () => {
      const headers = { Authorization: 'Bearer s', 'X-Api-Key': 's', Cookie: 's', 'If-None-Match': '"1"' }
      const back = `${nasty.url}/ok`
      const there = `http://localhost:${nasty.port}/redirect?to=${encodeURIComponent(back)}`
      expect(await get(`redirect?to=${encodeURIComponent(there)}`, { headers })).toMatchObject({
        status: 200,
      })
      const [first, ...others] = nasty.received
      expect(first?.headers).toMatchObject({ authorization: 'Bearer s', 'x-api-key': 's', cookie: 's' })
      expect(others).toHaveLength(2)
      for (const { headers } of others) {
        expect(headers).not.toMatchObject({ authorization: expect.anything() })
        expect([headers['x-api-key'], headers.cookie, headers['if-none-match']]).toEqual([
          undefined,
          undefined,
          '"1"',
        ])
      }
    })

    it('keep secrets within the origin', async () => {
      await get('redirect?to=/ok', { headers: { authorization: 'Bearer s' } })
      expect(nasty.received[1]?.headers.authorization).toBe('Bearer s')
    })

    it('of what sends something, or where none are wanted, are the answer', async () => {
      expect(await get('redirect?code=307&to=/ok', { method: 'POST', body: 'x' })).toMatchObject({
        status: 307,
      })
      expect(await get('redirect?to=/ok', { maxRedirects: 0 })).toMatchObject({ status: 302 })
      expect(nasty.received).toHaveLength(2)
    })

    it('share the time of the whole', async () => {
      const answer = await get(`redirect?to=/drip`, { limits: { total: 400 } })
      expect(answer).toMatchObject({ failed: 'timed_out' })
      expect(answer.ms).toBeLessThan(2000)
    })
  })

  describe('time', () => {
    it.each([
      ['silent', { head: 300 }],
      ['drip-head', { head: 300 }],
      ['drip', { total: 300 }],
      ['silent', { total: 300 }],
    ])('%s ends with %j', async (path, limits) => {
      const answer = await get(path, { limits })
      expect(answer).toMatchObject({ failed: 'timed_out', message: 'it took too long' })
      expect(answer.ms).toBeGreaterThan(250)
      expect(answer.ms).toBeLessThan(2000)
    })

    it('runs while it is connected, too: who accepts and says no word of TLS', async () => {
      const mute = createServer(() => {})
      const port = await listening(mute)
      const answer = await ask(`https://127.0.0.1:${port}/`, { limits: { connect: 300 } })
      mute.close()
      expect(answer).toMatchObject({ failed: 'timed_out' })
      expect(answer.ms).toBeLessThan(2000)
    })
  })

  describe('size', () => {
    it.each(['endless', 'announces', 'bomb'])('%s ends at the limit', async (path) => {
      const answer = await get(path, { maxBytes: 5_000_000 })
      expect(answer).toMatchObject({
        failed: 'too_large',
        message: 'answer is too large',
        details: 'the limit is 5000000 bytes',
      })
      expect(answer.peak).toBeLessThan(200_000_000)
    })

    it('is that of the answer to the byte', async () => {
      expect(await get('ok', { maxBytes: 4 })).toMatchObject({ body: 'fine' })
      expect(await get('ok', { maxBytes: 3 })).toMatchObject({ failed: 'too_large' })
      expect(await get('chunked', { maxBytes: 6 })).toMatchObject({ failed: 'too_large' })
      expect(await get('packed', { maxBytes: 7 })).toMatchObject({ failed: 'too_large' })
    })

    it.each(['endless-head', 'endless-line', 'endless-hints', 'wide-head'])(
      '%s is no answer',
      async (path) => {
        expect(await get(path)).toMatchObject({ failed: 'broken_answer' })
      },
    )
  })

  it.each([
    'cut-off',
    'cut-off-chunk',
    'no-last-chunk',
    'bad-chunk',
    'long-chunk',
    'two-lengths',
    'bad-length',
    'bad-header',
    'bad-coding',
    'switches',
    'other-protocol',
    'nothing',
    'hangs-up',
    'damaged',
    'brotli',
  ])('%s is no answer', async (path) => {
    expect(await get(path)).toMatchObject({ failed: 'broken_answer', message: 'answer is not valid' })
  })

  it('says when nobody is there', async () => {
    const answer = await ask(`http://127.0.0.1:${await closedPort()}/`)
    expect(answer).toMatchObject({ failed: 'not_connected', details: '127.0.0.1: ECONNREFUSED' })
    expect(await ask(`https://127.0.0.1:${await closedPort()}/`)).toMatchObject({ failed: 'not_connected' })
  })
})

async function listening(server: Server): Promise<number> {
  await new Promise<void>((settle) => server.listen(0, '127.0.0.1', settle))
  return (server.address() as { port: number }).port
}

async function closedPort(): Promise<number> {
  const server = createServer()
  const port = await listening(server)
  await new Promise((settle) => server.close(settle))
  return port
}
