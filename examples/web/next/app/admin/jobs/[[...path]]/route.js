import { jobs } from '../../../../jobs.js'

const handle = async (request) => (await jobs()).fetch(request)

export { handle as DELETE, handle as GET, handle as PATCH, handle as POST, handle as PUT }
