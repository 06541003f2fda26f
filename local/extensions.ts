import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'

const standins = join(import.meta.dirname, 'standins')

/** The SQL of the stand-in for an extension of the platform. */
export function standinOf(name: string): string {
  const file = readdirSync(standins).find((other) => other.startsWith(`${name}--`))
  if (!file) throw new Error(`there is no stand-in for ${name}`)
  return join(standins, file)
}

/** Puts pgTAP and the stand-ins for the platform's extensions where the server of this folder looks for extensions. */
export function installExtensions(postgres: string): void {
  const target = join(postgres, 'share/postgresql/extension')
  for (const name of readdirSync(standins)) {
    writeWhenDifferent(join(target, name), readFileSync(join(standins, name)))
  }
  if (existsSync(join(target, 'pgtap.control'))) return
  // The control file last: its presence says that all is there.
  const files = pgtapFiles().sort(
    (a, b) => Number(a.name.endsWith('.control')) - Number(b.name.endsWith('.control')),
  )
  for (const file of files) writeWhenDifferent(join(target, file.name), file.content)
}

/** Written beside and renamed, since other stacks read the same folder. */
function writeWhenDifferent(path: string, content: Buffer): void {
  if (existsSync(path) && readFileSync(path).equals(content)) return
  const beside = `${path}.${process.pid}`
  writeFileSync(beside, content)
  renameSync(beside, path)
}

/** The control file and the installing SQL file of pgTAP, from the archive in its npm package. */
function pgtapFiles(): ArchivedFile[] {
  const main = createRequire(import.meta.url).resolve('@electric-sql/pglite-pgtap')
  const archive = gunzipSync(readFileSync(join(dirname(main), 'pgtap.tar.gz')))
  return filesOfTar(archive).filter(({ name }) => /^pgtap(\.control|--\d+\.\d+\.\d+\.sql)$/.test(name))
}

function filesOfTar(tar: Buffer): ArchivedFile[] {
  const files: ArchivedFile[] = []
  const block = 512
  for (let at = 0; at + block <= tar.length && tar[at] !== 0; ) {
    const text = (from: number, length: number) =>
      tar.toString('latin1', at + from, at + from + length).replace(/\0.*/s, '')
    const size = Number.parseInt(text(124, 12), 8)
    const start = at + block
    if (text(156, 1) === '0') {
      files.push({ name: basename(text(0, 100)), content: tar.subarray(start, start + size) })
    }
    at = start + Math.ceil(size / block) * block
  }
  return files
}

type ArchivedFile = { name: string; content: Buffer }
