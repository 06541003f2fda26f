import { entryOf } from '../_shared/entry.ts'
import { syncApp } from './app.ts'

/** The edge function `sync`. Its routes are in app.ts. */
export default entryOf(syncApp(), 'sync')
