import { supabaseCli } from './binaries.ts'
import { run } from './run.ts'

/** Runs the Supabase CLI and returns what it printed; throws with what it said when it fails. */
export async function runSupabase(args: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(process.execPath, [supabaseCli(), ...args], {
    // The local server speaks no TLS.
    environment: { SUPABASE_TELEMETRY_DISABLED: '1', DO_NOT_TRACK: '1', PGSSLMODE: 'disable' },
  })
  if (code !== 0) throw new Error(`supabase ${args.slice(0, 2).join(' ')} failed:\n${stderr}${stdout}`)
  return stdout
}
