import { Buffer } from 'node:buffer'
import { crc32, deflateRawSync } from 'node:zlib'

/** A file for an archive; what is given beside its name and contents is written in place of the truth. */
export interface ZipFile {
  name: string
  content: string | Uint8Array
  stored?: boolean
  size?: number
  crc?: number
  flags?: number
  method?: number
}

/** A zip archive. */
export function zip(files: ZipFile[]): Buffer {
  const locals: Buffer[] = []
  const directory: Buffer[] = []
  let offset = 0
  for (const file of files) {
    const content = Buffer.from(file.content as Uint8Array)
    const packed = file.stored ? content : deflateRawSync(content)
    const name = Buffer.from(file.name)
    const header = Buffer.alloc(26)
    header.writeUInt16LE(20, 0)
    header.writeUInt16LE(file.flags ?? 0x800, 2) // the name is UTF-8
    header.writeUInt16LE(file.method ?? (file.stored ? 0 : 8), 4)
    header.writeUInt32LE(file.crc ?? crc32(content), 10)
    header.writeUInt32LE(packed.length, 14)
    header.writeUInt32LE(file.size ?? content.length, 18)
    header.writeUInt16LE(name.length, 22)
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), header, name, packed])
    const entry = Buffer.concat([
      Buffer.from('PK\x01\x02\x14\x00'),
      header,
      Buffer.alloc(10),
      uint32(offset),
      name,
    ])
    locals.push(local)
    directory.push(entry)
    offset += local.length
  }
  const index = Buffer.concat(directory)
  const end = Buffer.alloc(18)
  end.writeUInt16LE(files.length, 4)
  end.writeUInt16LE(files.length, 6)
  end.writeUInt32LE(index.length, 8)
  end.writeUInt32LE(offset, 12)
  return Buffer.concat([...locals, index, Buffer.from('PK\x05\x06'), end])
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
