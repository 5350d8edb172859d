import { jobs } from '../../../../jobs.js'

const handle = async (request) => (await jobs()).fetch(request)

export { handle as GET, handle as POST }
