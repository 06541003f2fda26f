import { randomUUID } from 'node:crypto'
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A mail of the auth service. */
export type Mail = { to: string; subject: string; text?: string; html?: string }

/** Where mails go in place of people's mailboxes: each is a file that a mail program opens. */
export type Mailbox = { send(mail: Mail): Promise<void> }

/** A folder that takes mails. Their names sort by time. */
export function mailFolder(folder: string): Mailbox {
  return {
    async send({ to, subject, text, html }) {
      mkdirSync(folder, { recursive: true })
      const time = new Date().toISOString().replaceAll(/[-:]/g, '')
      const name = `${time}-${to.replaceAll(/[^a-z0-9.@+_-]/gi, '_')}-${randomUUID().slice(0, 8)}.eml`
      const lines = [
        'From: Sluice <noreply@localhost>',
        `To: <${to}>`,
        `Subject: ${subject}`,
        `Date: ${new Date().toUTCString().replace('GMT', '+0000')}`,
        `Message-ID: <${randomUUID()}@localhost>`,
        'MIME-Version: 1.0',
        `Content-Type: text/${text === undefined ? 'html' : 'plain'}; charset=utf-8`,
        'Content-Transfer-Encoding: 8bit',
        '',
        ...(text ?? html ?? '').split('\n'),
      ]
      // Renamed: whoever looks into the folder finds whole mails.
      const path = join(folder, name)
      writeFileSync(`${path}.new`, `${lines.join('\r\n')}\r\n`)
      renameSync(`${path}.new`, path)
    },
  }
}
