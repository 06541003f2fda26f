import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SharedStack } from './stack.ts'

/** The mails to somebody that a stack has caught, oldest first. */
export function mailsTo(stack: Pick<SharedStack, 'dataDir'>, email: string): string[] {
  const folder = join(stack.dataDir, 'mails')
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => name.endsWith('.eml') && name.includes(`-${email}-`))
    .sort()
    .map((name) => readFileSync(join(folder, name), 'utf8'))
}

/** The link in a mail by which its reader proves to have got it. */
export function linkIn(mail: string | undefined): string {
  const link = /https?:\S+\/verify\?\S+/.exec(mail ?? '')?.[0]
  if (!link) throw new Error(`there is no link in the mail: ${mail}`)
  return link
}
