import type { ClientSecret, NewSecret } from './client-secret.ts'
import type { ExpiringSecret } from './expiring-secrets.ts'
import type { Client, ClientRecord, ClientUpdate, NewClient } from './client.ts'
import type { RequestMark } from './made-once.ts'
import type { NewTenant, Tenant, TenantRecord, TenantUpdate } from './tenant.ts'
import type { NewUser, User, UserUpdate } from './user.ts'

/**
 * Who may get tokens: tenants, their clients and their users. Requests come in as their schemas' output. What is
 * disabled, suspended or deleted gets no token from then on, and the tokens that it has are revoked first.
 *
 * Every method may fail with AppError `temporarily_unavailable`, as the store can; those that change something also
 * with `not_found` and, when a `version` was expected, `version_conflict`. Nothing is ever half done.
 */
export type Registry = {
  tenants: Tenants
  clients: Clients
  users: Users
  /** The id of what that request made, if it did: see made-once.ts. AppError `idempotency_key_reused`. */
  madeBy: (mark: RequestMark) => Promise<string | undefined>
  /** Remembers what a request made that is none of the registry's objects, once it is made. */
  markMade: (mark: RequestMark, made: string) => Promise<void>
  /** Writes down which secrets were used since the last time. To be called every few seconds, and before closing. */
  saveUses: () => Promise<void>
}

/** The version that the object must have; without one, whatever it is now is changed. */
export type Expected = { version?: string | undefined }

/** The `limit` objects after `cursor`, which is the `next_cursor` of the page before. */
export type PageQuery = { cursor?: string | undefined; limit: number }
/** In the order of ids (users of one tenant: of usernames); without `next_cursor` it is the last one. */
export type Page<Item> = { items: readonly Item[]; next_cursor?: string }
export type TenantPageQuery = PageQuery & { tenantId?: string | undefined }

export type Tenants = {
  /** AppError `already_exists` when the id is or was a tenant's. */
  create: (request: NewTenant, mark?: RequestMark) => Promise<Tenant>
  get: (tenantId: string) => Promise<Tenant | undefined>
  list: (query: PageQuery) => Promise<Page<Tenant>>
  /** Limits take effect with the next token. */
  update: (tenantId: string, update: TenantUpdate, expected?: Expected) => Promise<Tenant>
  suspend: (tenantId: string, expected?: Expected) => Promise<Tenant>
  /** Does not revive the tokens from before. */
  resume: (tenantId: string, expected?: Expected) => Promise<Tenant>
  /**
   * Takes its clients and users along. After a failure half of them may be left, unable to get a token: then repeat
   * it. AppError `in_use` for the tenant `default`, which has to be there.
   */
  delete: (tenantId: string, expected?: Expected) => Promise<void>
}

export type Clients = {
  /**
   * `clientSecret` is shown here once and never again; undefined when the client authenticates without one. AppError
   * `already_exists` when the id is or was a client's, `invalid_metadata` when there is no such tenant.
   */
  create: (
    request: NewClient,
    mark?: RequestMark,
  ) => Promise<{ client: Client; clientSecret: string | undefined }>
  get: (clientId: string) => Promise<Client | undefined>
  /** Those of one tenant, or all. */
  list: (query: TenantPageQuery) => Promise<Page<Client>>
  /** AppError `invalid_metadata` when members do not go together any more. */
  update: (clientId: string, update: ClientUpdate, expected?: Expected) => Promise<Client>
  disable: (clientId: string, expected?: Expected) => Promise<Client>
  enable: (clientId: string, expected?: Expected) => Promise<Client>
  delete: (clientId: string, expected?: Expected) => Promise<void>

  /** The oldest first. */
  listSecrets: (clientId: string) => Promise<readonly ClientSecret[]>
  /** Of all clients, those whose end somebody would notice within 30 days; takes a while. */
  listExpiringSecrets: () => Promise<readonly ExpiringSecret[]>
  /** AppError `in_use` when the client has as many as it may have, `invalid_metadata` when it uses none. */
  addSecret: (
    clientId: string,
    request: NewSecret,
    options?: Expected & { mark?: RequestMark | undefined },
  ) => Promise<{ secret: ClientSecret; clientSecret: string }>
  /** AppError `in_use` when it was used within the last day, unless forced. */
  removeSecret: (
    clientId: string,
    secretId: string,
    options?: Expected & { isForced?: boolean },
  ) => Promise<void>

  /** For the issuer: undefined unless the client and its tenant are active. */
  findIssuable: (clientId: string) => Promise<IssuableClient | undefined>
  /**
   * Whether it is a live secret of an issuable client. `address` is the caller's. AppError `rate_limited` after too
   * many wrong ones from there, `temporarily_unavailable` when too many wait; both with `Retry-After`.
   */
  verifySecret: (attempt: SecretAttempt) => Promise<boolean>
  /**
   * Fails with AppError `rate_limited` where `verifySecret` would, counting nothing: for next to no work, so that whoever
   * guesses costs others little.
   */
  requireRoomForGuess: (attempt: SecretAttempt) => Promise<void>
}

/** What decides about a token of the client. */
export type IssuableClient = {
  client: Readonly<ClientRecord>
  version: string
  tenant: Readonly<TenantRecord>
}
export type SecretAttempt = {
  clientId: string
  /** Of the client when it was just found issuable: then a remembered secret needs no look into the store. */
  version?: string | undefined
  secret: string
  address: string
}

export type Users = {
  /** AppError `already_exists` when the tenant has that username, `invalid_metadata` when there is no such tenant. */
  create: (request: NewUser, mark?: RequestMark) => Promise<User>
  /** By `user:<uuid>`. */
  get: (sub: string) => Promise<User | undefined>
  /** By name, in any case and width. */
  find: (tenantId: string, username: string) => Promise<User | undefined>
  /** Those of one tenant, or all. */
  list: (query: TenantPageQuery) => Promise<Page<User>>
  update: (sub: string, update: UserUpdate, expected?: Expected) => Promise<User>
  /** Revokes the tokens of the user: a password is set anew because somebody else may know the old one. */
  setPassword: (sub: string, password: string, expected?: Expected) => Promise<User>
  disable: (sub: string, expected?: Expected) => Promise<User>
  enable: (sub: string, expected?: Expected) => Promise<User>
  delete: (sub: string, expected?: Expected) => Promise<void>
  /** For the issuer: undefined unless the user and the tenant are active. */
  findIssuable: (sub: string) => Promise<User | undefined>
  /** The user, when active and that is the password. Fails as `clients.verifySecret` does. */
  verifyPassword: (attempt: PasswordAttempt) => Promise<User | undefined>
}

export type PasswordAttempt = {
  tenantId: string
  username: string
  password: string
  address: string
}
