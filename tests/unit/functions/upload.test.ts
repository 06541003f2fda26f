import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { Interruption } from '../../../functions/_shared/upload/interruption.ts'
import { refuseAnnouncedSize } from '../../../functions/_shared/upload/request-body.ts'
import { openUpload } from '../../../functions/_shared/upload/upload.ts'

const url = 'http://localhost/imports'
const limit = 10_000

function post(body: Uint8Array | string | ReadableStream, headers: Record<string, string> = {}): Request {
  const init = { method: 'POST', body: body as BodyInit, headers, duplex: 'half' }
  return new Request(url, init)
}

/** A body that comes in chunks of the given size, and breaks off after the last where it is told to. */
function chunked(bytes: Uint8Array, size: number, breaksOff = false): ReadableStream<Uint8Array> {
  let at = 0
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return breaksOff ? controller.error(new Error('reset')) : controller.close()
      controller.enqueue(bytes.slice(at, at + size))
      at += size
    },
  })
}

async function readAll(request: Request) {
  const upload = await openUpload(request, limit)
  const chunks: Uint8Array[] = []
  for await (const chunk of upload.bytes) chunks.push(chunk)
  await upload.finish()
  return { ...upload, text: Buffer.concat(chunks).toString(), sent: upload.size(), sha256: upload.hash() }
}

const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest('hex')

describe('uploads', () => {
  it('reads a raw body', async () => {
    const result = await readAll(post('a,b\n1,2\n', { 'content-type': 'text/csv; charset=windows-1252' }))
    expect(result).toMatchObject({
      text: 'a,b\n1,2\n',
      sent: 8,
      sha256: sha256('a,b\n1,2\n'),
      charset: 'windows-1252',
    })
  })

  it('unpacks gzip, announced or not, and hashes what was sent', async () => {
    const packed = gzipSync('a,b\n1,2\n')
    for (const headers of [{ 'content-encoding': 'gzip' }, { 'content-type': 'application/gzip' }, {}]) {
      const result = await readAll(post(packed, headers as Record<string, string>))
      expect(result).toMatchObject({ text: 'a,b\n1,2\n', sent: packed.length, sha256: sha256(packed) })
    }
    const members = Buffer.concat([gzipSync('a,b\n'), gzipSync('1,2\n')])
    expect((await readAll(post(chunked(members, 3)))).text).toBe('a,b\n1,2\n')
  })

  it('reads multipart as it comes, with the fields before the file', async () => {
    const form = new FormData()
    form.set('dataset', 'customers')
    form.set('file', new File(['a,b\n--x\r\n1,2\n'], 'Müller "1".csv', { type: 'text/csv' }))
    const whole = new Request(url, { method: 'POST', body: form })
    const type = whole.headers.get('content-type') ?? ''
    const bytes = new Uint8Array(await whole.arrayBuffer())
    for (const size of [1, 2, 3, 5, 17, 1000]) {
      const result = await readAll(post(chunked(bytes, size), { 'content-type': type }))
      expect(result).toMatchObject({
        text: 'a,b\n--x\r\n1,2\n',
        sha256: sha256('a,b\n--x\r\n1,2\n'),
        fields: { dataset: 'customers' },
        fileName: 'Müller "1".csv',
      })
    }
  })

  it.each([
    ['no file', [['dataset', 'customers']], 'multipart body has no file'],
    [
      'a field after the file',
      [
        ['file', new File(['a'], 'a')],
        ['mode', 'insert'],
      ],
      'multipart body goes on after the file',
    ],
    ['another file', [['other', new File(['a'], 'a')]], 'multipart body has an unknown file'],
  ] as [string, [string, string | File][], string][])(
    'refuses multipart with %s',
    async (_, entries, message) => {
      const form = new FormData()
      for (const [name, value] of entries) form.append(name, value)
      await expect(readAll(new Request(url, { method: 'POST', body: form }))).rejects.toMatchObject({
        status: 400,
        body: { message },
      })
    },
  )

  it.each([
    ['content type', { 'content-type': 'application/pdf' }, 'content type is not accepted'],
    [
      'form encoding',
      { 'content-type': 'application/x-www-form-urlencoded' },
      'content type is not accepted',
    ],
    ['content encoding', { 'content-encoding': 'br' }, 'content encoding is not accepted'],
  ] as [string, Record<string, string>, string][])('refuses a wrong %s', async (_, headers, message) => {
    await expect(openUpload(post('a', headers), limit)).rejects.toMatchObject({
      status: 415,
      body: { message, hint: expect.stringContaining('Send') },
    })
  })

  it('refuses what is over the limit: announced, sent or unpacked', async () => {
    expect(() => refuseAnnouncedSize(post('a', { 'content-length': '900000' }), limit)).toThrow(
      expect.objectContaining({ status: 413 }),
    )
    const large = Buffer.alloc(limit + 1, 'a')
    for (const body of [large, gzipSync(large)]) {
      await expect(readAll(post(chunked(body, 1000)))).rejects.toMatchObject({
        status: 413,
        body: { code: 'PT413', hint: expect.stringContaining('imports.max_request_bytes') },
      })
    }
  })

  it('refuses damaged gzip', async () => {
    const packed = gzipSync('a,b\n1,2\n')
    for (const bytes of [
      packed.subarray(0, packed.length - 5),
      Buffer.concat([packed.subarray(0, 12), large()]),
    ]) {
      await expect(readAll(post(bytes))).rejects.toMatchObject({
        status: 400,
        body: { message: 'gzip data is damaged or cut off' },
      })
    }
    function large(): Buffer {
      return Buffer.alloc(500, 0xee)
    }
  })

  it('tells an interruption from a file that is wrong', async () => {
    await expect(readAll(post(chunked(Buffer.from('a,b\n'), 2, true)))).rejects.toBeInstanceOf(Interruption)
    await expect(readAll(post(chunked(gzipSync('a,b\n'), 4, true)))).rejects.toBeInstanceOf(Interruption)
    const short = post(chunked(Buffer.from('a,b\n'), 2), { 'content-length': '400' })
    await expect(readAll(short)).rejects.toBeInstanceOf(Interruption)
    const cut = post(
      chunked(Buffer.from('--b\r\ncontent-disposition: form-data; name="file"\r\n\r\na,b\n'), 9),
      {
        'content-type': 'multipart/form-data; boundary=b',
      },
    )
    await expect(readAll(cut)).rejects.toBeInstanceOf(Interruption)
  })
})
