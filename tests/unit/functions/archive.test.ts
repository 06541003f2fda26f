import { Buffer } from 'node:buffer'
import { describe, expect, it } from 'vitest'
import { openContent } from '../../../functions/_shared/upload/archive.ts'
import { isArchive } from '../../../functions/_shared/upload/archive-set.ts'
import { type ZipFile, zip } from '../../../local/demo/zip.ts'

async function* inChunks(bytes: Uint8Array, size = 10): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function textOf(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of bytes) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** The files of an archive, read. */
async function read(archive: Uint8Array, limit = 1 << 20): Promise<Record<string, string>> {
  const content = await openContent(inChunks(archive), limit)
  if (!('entries' in content)) throw new Error('no archive')
  const files: Record<string, string> = {}
  for (const entry of content.entries) files[entry.name] = await textOf(entry.read())
  return files
}

async function refusal(archive: Uint8Array, limit?: number) {
  const cause = await read(archive, limit).catch((error: unknown) => error)
  return cause as { status: number; body: { code: string; message: string; details: string; hint: string } }
}

describe('archives', () => {
  it('give their files, packed or not', async () => {
    const archive = zip([
      { name: 'data/', content: '' },
      { name: 'data/customers.csv', content: 'a,b\n1,2\n'.repeat(10_000) },
      { name: 'übung.csv', content: 'x', stored: true },
      { name: 'empty.csv', content: '' },
    ])
    expect(await read(archive)).toEqual({
      'data/customers.csv': 'a,b\n1,2\n'.repeat(10_000),
      'übung.csv': 'x',
      'empty.csv': '',
    })
  })

  it('are told from what begins otherwise, and from workbooks', async () => {
    const text = await openContent(inChunks(Buffer.from('PK,name\n1,x\n')), 100)
    if (!('bytes' in text)) throw new Error('an archive')
    expect(await textOf(text.bytes)).toBe('PK,name\n1,x\n')
    const open = async (name: string) =>
      isArchive(await openContent(inChunks(zip([{ name, content: '' }])), 1000))
    expect(await open('a.csv')).toBe(true)
    expect(await open('[Content_Types].xml')).toBe(false)
    expect(isArchive(await openContent(inChunks(zip([])), 1000))).toBe(true)
  })

  it.each([
    [
      'goes up',
      { name: '../a.csv', content: 'x' },
      'zip archive is damaged or unsafe',
      'invalid relative path',
    ],
    [
      'goes up backwards',
      { name: 'a\\..\\..\\b.csv', content: 'x' },
      'zip archive is damaged or unsafe',
      'invalid relative path',
    ],
    [
      'begins at the root',
      { name: '/etc/passwd', content: 'x' },
      'zip archive is damaged or unsafe',
      'absolute path',
    ],
    [
      'is larger than it says',
      { name: 'a.csv', content: 'x'.repeat(5000), size: 10 },
      'zip archive is damaged or unsafe',
      'a.csv',
    ],
    [
      'is smaller than it says',
      { name: 'a.csv', content: 'x', size: 10 },
      'zip archive is damaged or unsafe',
      'a.csv',
    ],
    [
      'is not what was packed',
      { name: 'a.csv', content: 'x', crc: 1 },
      'zip archive is damaged or unsafe',
      'a.csv: its checksum is wrong',
    ],
    ['is encrypted', { name: 'a.csv', content: 'x', flags: 1 }, 'archive entry is encrypted', 'a.csv'],
    [
      'is packed in a new way',
      { name: 'a.csv', content: 'x', method: 93 },
      'archive entry is packed in an unknown way',
      'method 93',
    ],
    [
      'is no deflate',
      { name: 'a.csv', content: 'not packed', stored: true, method: 8 },
      'zip archive is damaged or unsafe',
      'a.csv',
    ],
  ] as [string, ZipFile, string, string][])('refuse a file that %s', async (_, file, message, details) => {
    const refused = await refusal(zip([file]))
    expect(refused).toMatchObject({ status: 400, body: { code: '22023', message } })
    expect(refused.body.details).toContain(details)
    expect(refused.body.hint).toBeTruthy()
  })

  it('refuse what is cut off', async () => {
    const archive = zip([{ name: 'a.csv', content: 'x'.repeat(100) }])
    for (const length of [4, 30, archive.length - 23, archive.length - 1]) {
      expect((await refusal(archive.subarray(0, length))).body.message).toBe(
        'zip archive is damaged or unsafe',
      )
    }
  })

  it('are bounded', async () => {
    const archive = zip(
      Array.from({ length: 10_001 }, (_, i) => ({ name: String(i), content: '', stored: true })),
    )
    expect(await refusal(archive, archive.length)).toMatchObject({
      status: 413,
      body: { message: 'archive has too many files' },
    })
    expect(await refusal(archive, 1000)).toMatchObject({
      status: 413,
      body: { message: 'archive is too large' },
    })
  })
})
