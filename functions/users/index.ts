import { entryOf } from '../_shared/entry.ts'
import { usersApp } from './app.ts'

/** The edge function `users`. Its routes are in app.ts. */
export default entryOf(usersApp(), 'users')
