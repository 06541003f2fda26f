import { entryOf } from '../_shared/entry.ts'
import { importsApp } from './app.ts'

/** The edge function `imports`. Its routes are in app.ts. */
export default entryOf(importsApp(), 'imports')
