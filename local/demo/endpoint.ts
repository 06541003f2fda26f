import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { startTemporaryStack } from '../temporary-stack.ts'

/** Where Sluice is reached. */
export type Endpoint = {
  url: string
  databaseUrl: string
  publishableKey: string
}

/** The stack that a command works on. */
export type OwnStack = Endpoint & {
  /** The functions' process, where this command started it. */
  functionsPid: number | undefined
  stop(): Promise<void>
}

/** The stack that `npm start` runs in this folder, if it answers. It is not this command's to stop. */
export async function runningStack(): Promise<OwnStack | undefined> {
  const file = join(resolve(process.env.SLUICE_DATA_DIR ?? '.sluice'), 'env')
  if (!existsSync(file)) return undefined
  const variables = new Map(
    readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )
  const url = variables.get('SUPABASE_URL') ?? ''
  const publishableKey = variables.get('SUPABASE_PUBLISHABLE_KEY') ?? ''
  if (!(await answers(url, publishableKey))) return undefined
  const databaseUrl = variables.get('SUPABASE_DB_URL') ?? ''
  return { url, publishableKey, databaseUrl, functionsPid: undefined, stop: async () => {} }
}

/** Starts a stack of this command's own, on free ports and in a temporary folder that goes with it. */
export async function temporaryStack(): Promise<OwnStack> {
  const log: string[] = []
  try {
    const stack = await startTemporaryStack({ log: (line) => log.push(line) })
    return { ...stack, functionsPid: stack.functionsPid() }
  } catch (cause) {
    throw new Error([cause instanceof Error ? cause.message : cause, ...log.slice(-20)].join('\n'))
  }
}

async function answers(url: string, publishableKey: string): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(2_000)
    return (
      (await fetch(`${url}/rest/v1/datasets?limit=1`, { headers: { apikey: publishableKey }, signal }))
        .status < 500
    )
  } catch {
    return false
  }
}
