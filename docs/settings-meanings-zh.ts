/** In Chinese, what the schema says in English of each setting. A setting whose English changes has to be said anew. */
export const MEANINGS_ZH: Readonly<Record<string, string>> = {
  'folder of the store, the audit trail and what else is kept':
    '存储、审计记录和其他要保留的东西所在的目录',
  "whether an issuer on Redis and a proxy run under Node's permission model":
    '使用 Redis 的签发器以及代理是否在 Node 的权限模型之下运行',
  'what tokens can be for: identifier → scopes, introspectors; by default `proxy.url` with `ocr_api_access`':
    '令牌可以用于什么：标识符 → scopes、introspectors；默认是 `proxy.url`，带 `ocr_api_access`',
  'addresses of the TLS terminators in front, as CIDR blocks':
    '前面终结 TLS 的代理的地址，写成 CIDR 网段',
  'PEM file: authorities that are trusted beside those that Node knows':
    'PEM 文件：除 Node 已知的之外还信任的证书颁发机构',
  'what a token for it can have': '给它的令牌可以有哪些 scope',
  'client ids that may ask about tokens for it': '可以查询它的令牌的客户端 id',
  'the least important lines that are written to standard error':
    '写到标准错误的日志行，最低到哪个级别',
  'the `iss` of tokens': '令牌的 `iss`',
  'where clients and browsers come in': '客户端和浏览器从这里进来',
  '`/livez`, `/readyz`, `/metrics`': '`/livez`、`/readyz`、`/metrics`',
  'PEM file of its certificate and the intermediates': 'PEM 文件：它的证书和中间证书',
  'PEM file of its private key': 'PEM 文件：它的私钥',
  'PEM file of the authorities whose client certificates it asks for':
    'PEM 文件：它要求的客户端证书由哪些机构颁发',
  'wrong secrets for one client, or passwords for one user, from one address':
    '来自一个地址、针对一个客户端的错误密钥，或针对一个用户的错误密码',
  "the operators' API, in the process of the issuer": '运维人员的 API，在签发器的进程里',
  'the identifier of the resource: the `aud` of tokens': '资源的标识符：令牌的 `aud`',
  'where callers come in': '调用者从这里进来',
  'model servers; each request goes to the least busy one': '模型服务器；每个请求去最空闲的那个',
  'sent as the bearer to each model server that has no key of its own':
    '作为 bearer 发给每个没有自己密钥的模型服务器',
  'requests that a model server has at once; more of them wait':
    '一个模型服务器同时有多少请求；更多的要等待',
  'requests that may wait for a model server at once; 0: none':
    '同时可以有多少请求等待模型服务器；0：没有',
  'how long one waits, then 503': '一个请求等多久，然后 503',
  'the only requests that reach a model server': '只有这些请求能到达模型服务器',
  'the largest request body of a route that does not say another':
    '路由没有另行规定时，请求正文最大多少',
  'for a connection to a model server': '与模型服务器建立连接',
  'for a model server to begin its answer': '模型服务器开始回答',
  'for either side to go on with a body': '任何一方继续传送正文',
  'how long running requests may take to end after SIGTERM; of the issuer, too':
    'SIGTERM 之后，正在进行的请求可以用多久结束；签发器的也是',
  'asked of each model server': '向每个模型服务器询问',
  'from one check to the next; 0: no checks': '从一次检查到下一次；0：不检查',
  "by how much the clocks of issuer and proxy may differ in a token's times":
    '看令牌的时间时，签发器和代理的时钟可以相差多少',
  "where the keys are, if not where the issuer's metadata says":
    '密钥在哪里，如果不在签发器元数据所说的地方',
  'least time between two fetches of the keys, failed ones included':
    '两次取密钥之间至少多久，失败的也算',
  'how long keys serve while the issuer is away, then 503': '签发器不在时密钥还能用多久，然后 503',
  'whether `/_gatehouse/verify` answers other proxies': '`/_gatehouse/verify` 是否回答别的代理',
  'whose scripts may call from a browser; without any, no CORS headers':
    '谁的脚本可以从浏览器调用；一个也没有时，没有 CORS 头',
  'processes that share the port; more than 1 need `redis.url`':
    '共用端口的进程数；多于 1 个需要 `redis.url`',
  "the proxy's own client, with which it follows the issuer's revocations":
    '代理自己的客户端，用它跟随签发器的吊销日志',
  'private JWK of that client': '该客户端的私钥 JWK',
  'where it is': '它在哪里',
  'sent to it as the bearer': '作为 bearer 发给它',
  'file with that key': '存放该密钥的文件',
  '`GET` includes HEAD': '`GET` 包括 HEAD',
  'compared byte by byte; `{id}` stands for one segment': '逐字节比较；`{id}` 代表一段',
  'needs no token': '不需要令牌',
  'all of them are needed': '全都需要',
  '`proxy.maxBodyBytes` without it; 0 for a public route':
    '没有它时是 `proxy.maxBodyBytes`；公开路由是 0',
  '`proxy.firstByteTimeoutSeconds` without it': '没有它时是 `proxy.firstByteTimeoutSeconds`',
  '`proxy.idleTimeoutSeconds` without it': '没有它时是 `proxy.idleTimeoutSeconds`',
  '`redis://`, `rediss://`, `redis+sentinel://H:P,H:P/NAME` or `redis+cluster://H:P,H:P`, the last two also with `rediss`; without it everything is in a file in `dataDir`':
    '`redis://`、`rediss://`、`redis+sentinel://H:P,H:P/NAME` 或 `redis+cluster://H:P,H:P`，后两种也可以用 `rediss`；没有它时一切都在 `dataDir` 的一个文件里',
  'where the proxy hears what is revoked: by default Redis where there is one, else the issuer, in the same process or over HTTP; `off`: revoked tokens pass':
    '代理从哪里得知什么被吊销：默认有 Redis 就用 Redis，否则用签发器，在同一进程里或通过 HTTP；`off`：被吊销的令牌也放行',
  'how long the proxy goes on without having heard of revocations':
    '没有听到吊销的消息时，代理还继续多久',
  'what happens then: 503 for every token, or nothing':
    '那时怎么办：每个令牌都得到 503，或者什么也不做',
  'the token in which signing keys are made and used': '签名密钥在其中生成和使用的令牌设备',
  'folder of the private keys (0600)': '私钥的目录（0600）',
  'seals the private keys; required with `redis.url`': '封存私钥；有 `redis.url` 时必须给出',
  'seals them instead, for one issuer on files': '代替它封存私钥，用于使用文件的单个签发器',
  'what sealed them before, while the key is changed': '更换密钥期间，之前用来封存的那个',
  'the same for a passphrase': '口令也一样',
  'the age at which another key signs': '密钥用了多久之后换另一个签名',
  '`max-age` of the JWKS; a key signs once it was published for two of them':
    'JWKS 的 `max-age`；密钥公布满两个这样的时长之后才签名',
  'bits of a new signing key (RSA)': '新签名密钥（RSA）的位数',
  "path of the token's PKCS#11 library": '令牌设备的 PKCS#11 库的路径',
  'which token of that library': '该库的哪个令牌设备',
  'its user PIN': '它的用户 PIN',
  'life of an access token': '访问令牌的有效期',
  'life of a refresh token, each one anew': '刷新令牌的有效期，每一个重新计',
  'of each subject whose token limits nobody; what is not given is unlimited':
    '令牌没有任何限额的每个主体；没有给出的不受限',
  'requests in any 60 s': '任意 60 秒内的请求数',
  'requests at once': '同时的请求数',
  'requests in a day (UTC)': '一天（UTC）的请求数',
  'tokens that the model reads and writes in a day (UTC)': '模型一天（UTC）读写的 token 数',
  'while Redis cannot count: each proxy counts alone, callers with limits get 503, or all are let in':
    'Redis 不能计数时：每个代理各自计数，有限额的调用者得到 503，或者全部放行',
  'the same for this limit alone': '同上，只对这一种限额',
  'where the trail goes: `<dataDir>/audit`, standard output, Redis':
    '审计记录写到哪里：`<dataDir>/audit`、标准输出、Redis',
  'how long it is kept': '保留多久',
  'while it cannot be written: nothing is let in, or everything':
    '不能写入时：什么都不放行，或者全部放行',
  'OpenTelemetry collector, without /v1/traces; without it nothing is traced':
    'OpenTelemetry 收集器，不带 /v1/traces；没有它时不追踪',
  'value of the Authorization header': 'Authorization 头的值',
  'of the traces that begin here; others are as their caller decided':
    '从这里开始的追踪中取多少；其他的由调用者决定',
}
