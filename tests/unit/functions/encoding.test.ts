import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createCleaner, detectEncoding, type Encoding } from '../../../functions/_shared/upload/encoding.ts'

/** Cleans bytes that come in the given chunks. */
function clean(chunks: Uint8Array[], encoding?: Encoding) {
  const cleaner = createCleaner(encoding)
  const parts = [...chunks.map((chunk) => cleaner.push(chunk)), cleaner.end()]
  return {
    text: parts.join(''),
    defects: [...cleaner.defects],
    encoding: cleaner.encoding(),
  }
}

function splitAt(bytes: Uint8Array, at: number): Uint8Array[] {
  return [bytes.subarray(0, at), bytes.subarray(at)]
}

const text = 'name;ort\nMüller;Köln\n😀;größe €\n'
const utf16 = (value: string) => Buffer.from(value, 'utf16le')
const files: [name: string, bytes: Buffer, encoding: Encoding][] = [
  ['UTF-8', Buffer.from(text), 'utf-8'],
  ['UTF-8 with BOM', Buffer.from(`\uFEFF${text}`), 'utf-8'],
  ['UTF-16LE with BOM', utf16(`\uFEFF${text}`), 'utf-16le'],
  ['UTF-16LE without', utf16(text), 'utf-16le'],
  ['UTF-16BE with BOM', utf16(`\uFEFF${text}`).swap16(), 'utf-16be'],
  ['UTF-16BE without', utf16(text).swap16(), 'utf-16be'],
]

describe('encodings', () => {
  for (const [name, bytes, encoding] of files) {
    it(`reads ${name}, cut at any byte`, () => {
      for (let at = 0; at <= bytes.length; at++) {
        const result = clean(splitAt(bytes, at), detectEncoding(bytes))
        expect(result).toEqual({ text, defects: [], encoding })
      }
    })
  }

  it('reads Windows-1252, cut at any byte', () => {
    const bytes = Buffer.from('name;preis\nM\xfcller;5 \x80\n\x84Stra\xdfe\x93;7\n', 'latin1')
    for (let at = 0; at <= bytes.length; at++) {
      const result = clean(splitAt(bytes, at), detectEncoding(bytes))
      expect(result.text).toBe('name;preis\nMüller;5 €\n„Straße“;7\n')
      expect(result).toMatchObject({ defects: [], encoding: 'windows-1252' })
    }
  })

  it('decides at the first byte beyond ASCII, however late', () => {
    const ascii = Buffer.alloc(200_000, 'a,b\n')
    const late = (bytes: Buffer) => clean([ascii, ascii, bytes], detectEncoding(ascii))
    expect(late(Buffer.from('M\xfcller', 'latin1'))).toMatchObject({ encoding: 'windows-1252', defects: [] })
    expect(late(Buffer.from('Müller'))).toMatchObject({ encoding: 'utf-8', defects: [] })
  })

  it('takes UTF-8 with a few broken bytes for UTF-8', () => {
    const bytes = Buffer.concat([Buffer.from('ä,ö,ü\n'), Buffer.from([0xff]), Buffer.from('x\n')])
    const result = clean([bytes])
    expect(result.text).toBe('ä,ö,ü\n\uFFFDx\n')
    expect(result).toMatchObject({ encoding: 'utf-8', defects: [{ at: 6, kind: 'undecodable' }] })
  })

  it('takes bytes that Windows-1252 does not have for broken UTF-8', () => {
    expect(clean([Buffer.from([0x61, 0x81, 0x62])])).toMatchObject({ text: 'a\uFFFDb', encoding: 'utf-8' })
  })

  it('says where the bytes were that cannot be decoded', () => {
    const bytes = Buffer.from([0x61, 0x81, 0x62, 0x00, 0x63])
    expect(clean([bytes], 'windows-1252').defects).toEqual([
      { at: 1, kind: 'undecodable' },
      { at: 3, kind: 'nul' },
    ])
    const lone = Buffer.from([0x61, 0x00, 0x00, 0xd8, 0x62, 0x00])
    expect(clean([lone], 'utf-16le')).toMatchObject({
      text: 'a\uFFFDb',
      defects: [{ at: 1, kind: 'undecodable' }],
    })
    const cut = Buffer.from([0x61, 0x00, 0x62])
    expect(clean([cut], 'utf-16le')).toMatchObject({
      text: 'a\uFFFD',
      defects: [{ at: 1, kind: 'undecodable' }],
    })
  })

  it('keeps a U+FFFD that was in the file without a word', () => {
    expect(clean([Buffer.from('a\uFFFDb')])).toMatchObject({ text: 'a\uFFFDb', defects: [] })
    expect(clean([utf16('a\uFFFDb')], 'utf-16le')).toMatchObject({ text: 'a\uFFFDb', defects: [] })
  })

  it('decodes any bytes as the standard decoder does, NULs left out, in any chunks', () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 6 }),
      fc.string({ unit: 'binary', maxLength: 6 }).map((value) => Buffer.from(value)),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (chunks) => {
        const bytes = Buffer.concat(chunks)
        const wanted = new TextDecoder().decode(bytes).replaceAll('\0', '')
        const result = clean(chunks, 'utf-8')
        expect(result.text).toBe(wanted)
        const replaced = result.defects.filter((defect) => defect.kind === 'undecodable')
        for (const defect of replaced) expect(result.text[defect.at]).toBe('\uFFFD')
        expect(result.defects.map((defect) => defect.at)).toEqual(
          result.defects.map((defect) => defect.at).toSorted((a, b) => a - b),
        )
      }),
      { numRuns: 2000 },
    )
  })
})
