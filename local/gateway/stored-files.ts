import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream, promises as fs, type Stats } from 'node:fs'
import { dirname, resolve, sep } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import type { App } from '@supabase/lite'

type Adapter = NonNullable<App<never>['_storageAdapter']>

/** The part of an object that the request at hand wants; the library does not tell its adapter. */
export type WantedPart = { range: string; size?: number; bounds?: Bounds }

export const wantedParts = new AsyncLocalStorage<WantedPart>()

type Bounds = { start: number; end: number }

/** Keeps the objects of Storage as files of a folder. The library names such an adapter but does not export it. */
export function storedFiles(folder: string): Adapter {
  const base = resolve(folder)

  function pathOf(bucket: string, key: string): string {
    const path = resolve(base, bucket, key)
    if (!path.startsWith(base + sep)) throw new Error('the key leaves its bucket')
    return path
  }

  async function metadataOf(path: string, mimetype = 'application/octet-stream', cacheControl = 'no-cache') {
    const stats = await fs.stat(path)
    return {
      cacheControl,
      contentLength: stats.size,
      size: stats.size,
      mimetype,
      lastModified: stats.mtime,
      eTag: tagOf(path, stats),
    }
  }

  return {
    driver: fs,

    async getObject(bucket, key) {
      const path = pathOf(bucket, key)
      const metadata = await metadataOf(path)
      const wanted = wantedParts.getStore()
      if (!wanted)
        return { httpStatusCode: 200, metadata, body: metadata.size ? streamOf(path) : Buffer.alloc(0) }

      wanted.size = metadata.size
      wanted.bounds = boundsOf(wanted.range, metadata.size)
      if (!wanted.bounds) return { httpStatusCode: 416, metadata, body: Buffer.alloc(0) }
      const { start, end } = wanted.bounds
      const part = { ...metadata, contentLength: end - start + 1 }
      return { httpStatusCode: 206, metadata: part, body: streamOf(path, wanted.bounds) }
    },

    async uploadObject(bucket, key, _version, body, contentType, cacheControl) {
      const path = pathOf(bucket, key)
      await fs.mkdir(dirname(path), { recursive: true })
      if (body instanceof Uint8Array) await fs.writeFile(path, body)
      else await pipeline(Readable.fromWeb(body as NodeReadableStream), createWriteStream(path))
      return { ...(await metadataOf(path, contentType, cacheControl)), httpStatusCode: 200 }
    },

    async deleteObject(bucket, key) {
      await fs.rm(pathOf(bucket, key), { force: true })
    },

    async deleteObjects(bucket, keys) {
      for (const key of keys) await fs.rm(pathOf(bucket, key), { force: true })
    },

    async copyObject(bucket, source, _version, targetBucket, target) {
      const path = pathOf(targetBucket, target)
      await fs.mkdir(dirname(path), { recursive: true })
      await fs.copyFile(pathOf(bucket, source), path)
      const { eTag, lastModified } = await metadataOf(path)
      return { httpStatusCode: 200, eTag, lastModified }
    },

    async headObject(bucket, key) {
      return { ...(await metadataOf(pathOf(bucket, key))), httpStatusCode: 200 }
    },

    async privateAssetUrl(bucket, key) {
      return `file://${pathOf(bucket, key)}`
    },
  } as Adapter
}

/** What `bytes=5-9`, `bytes=5-` or, from the end, `bytes=-5` means; undefined when there is nothing there. */
function boundsOf(range: string, size: number): Bounds | undefined {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(range) ?? []
  if (first === undefined || last === undefined || (!first && !last)) return { start: 0, end: size - 1 }
  const start = first ? Number(first) : Math.max(0, size - Number(last))
  const end = first && last ? Math.min(Number(last), size - 1) : size - 1
  return start <= end ? { start, end } : undefined
}

function streamOf(path: string, bounds?: Bounds): ReadableStream {
  return Readable.toWeb(createReadStream(path, bounds)) as ReadableStream
}

function tagOf(path: string, stats: Stats): string {
  return `"${createHash('md5').update(`${path}${stats.mtimeMs}${stats.size}`).digest('hex')}"`
}
