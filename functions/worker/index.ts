import { workerOf } from './app.ts'
import { fetchSource } from './fetch.ts'
import { deleteFiles } from './files.ts'
import { ingest } from './ingest.ts'
import { sendInvitations } from './invitations.ts'
import { sendWebhooks } from './webhooks.ts'

/** The edge function `worker`: what the database has done for it, since it needs HTTP. */
export default workerOf({
  fetch: fetchSource,
  files: deleteFiles,
  ingest,
  invitations: sendInvitations,
  webhooks: sendWebhooks,
})
