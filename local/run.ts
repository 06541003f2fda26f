import { spawn } from 'node:child_process'
import { repositoryRoot } from './binaries.ts'

/** What a command said and how it ended. */
export type Outcome = { code: number | null; stdout: string; stderr: string }

/** Runs a command in the repository's folder and waits for its end. */
export async function run(
  command: string,
  args: string[],
  options: { input?: string; environment?: Record<string, string> } = {},
): Promise<Outcome> {
  const child = spawn(command, args, {
    cwd: repositoryRoot,
    env: { ...process.env, ...options.environment },
    stdio: 'pipe',
  })
  const outcome: Outcome = { code: null, stdout: '', stderr: '' }
  child.stdout.on('data', (chunk) => {
    outcome.stdout += chunk
  })
  child.stderr.on('data', (chunk) => {
    outcome.stderr += chunk
  })
  child.stdin.end(options.input)
  outcome.code = await new Promise((settle, fail) => child.on('close', settle).on('error', fail))
  return outcome
}
