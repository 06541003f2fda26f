import { workerOf } from './app.ts'

/** The edge function `worker`: what the database has done for it, since it needs HTTP. */
export default workerOf({})
