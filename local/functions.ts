import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { denoBinary, repositoryRoot } from './binaries.ts'

/** Where the functions are, and what they are told. */
export type FunctionsSettings = {
  /** The folder with a folder for each function. */
  folder: string
  port: number
  /** Where Deno keeps what it has translated. */
  cacheFolder: string
  environment: Record<string, string>
}

/** Starts the Deno process that serves every function, and waits until it answers. */
export async function startFunctions(
  settings: FunctionsSettings,
  log: (line: string) => void,
): Promise<ChildProcess> {
  const token = randomUUID()
  const config = join(repositoryRoot, 'deno.json')
  const resolution = existsSync(config) ? ['--config', config] : ['--no-config', '--node-modules-dir=manual']
  const main = join(import.meta.dirname, 'functions-main.ts')
  const child = spawn(
    denoBinary(),
    [
      'serve',
      '--quiet',
      '--cached-only',
      '--no-lock',
      '-A',
      ...resolution,
      '--host',
      '127.0.0.1',
      '--port',
      String(settings.port),
      main,
    ],
    {
      cwd: repositoryRoot,
      detached: true, // Ctrl-C is for the stack alone.
      stdio: ['pipe', 'pipe', 'pipe'], // It ends when its input does: so it does not outlive a killed stack.
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        DENO_DIR: settings.cacheFolder,
        DENO_NO_UPDATE_CHECK: '1',
        SLUICE_FUNCTIONS_DIR: settings.folder,
        SLUICE_FUNCTIONS_TOKEN: token,
        ...settings.environment,
      },
    },
  )
  const output: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      if (output.length < 50) output.push(line)
      log(line)
    })
  }

  let failed = false
  child.once('exit', () => (failed = true)).once('error', () => (failed = true))
  for (const deadline = Date.now() + 30_000; !failed; await sleep(10)) {
    if ((await answeredToken(settings.port)) === token) return child
    if (Date.now() > deadline) child.kill('SIGKILL')
  }
  throw new Error(`the functions did not start:\n${output.join('\n')}`)
}

/** Whoever answers on the port may be another process; only the one just started knows the token. */
async function answeredToken(port: number): Promise<string | undefined> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(1000) })
    return await response.text()
  } catch {
    return undefined
  }
}
