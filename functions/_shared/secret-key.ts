import process from 'node:process'

/** The project's secret key, with which a function calls the other services. */
export function secretKey(): string {
  const { default: key } = JSON.parse(process.env.SUPABASE_SECRET_KEYS ?? '{}') as { default?: string }
  if (!key) throw new Error('SUPABASE_SECRET_KEYS has no key named default')
  return key
}
