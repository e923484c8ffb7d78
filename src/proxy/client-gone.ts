/** The caller hung up: there is nobody to answer, and the model server has been told to stop. */
export class ClientGone extends Error {
  constructor() {
    super('the client has gone')
    this.name = 'ClientGone'
  }
}
