/** What we use of the package `pkcs11js`, which is installed by those who need it. */
declare module 'pkcs11js' {
  namespace pkcs11 {
    type Handle = Buffer
    type Attribute = { type: number; value?: number | boolean | string | Buffer }
    type Mechanism = { mechanism: number; parameter?: Buffer }
    class PKCS11 {
      load(path: string): void
      C_Initialize(options: { flags: number }): void
      C_Finalize(): void
      C_GetSlotList(isTokenPresent: boolean): Handle[]
      C_GetTokenInfo(slot: Handle): { label: string }
      C_OpenSession(slot: Handle, flags: number): Handle
      C_CloseSession(session: Handle): void
      C_Login(session: Handle, userType: number, pin: string): void
      C_FindObjectsInit(session: Handle, template: Attribute[]): void
      C_FindObjects(session: Handle, maxCount: number): Handle[]
      C_FindObjectsFinal(session: Handle): void
      C_GetAttributeValue(
        session: Handle,
        object: Handle,
        template: { type: number }[],
      ): { type: number; value: Buffer }[]
      C_DestroyObject(session: Handle, object: Handle): void
      C_SignInit(session: Handle, mechanism: Mechanism, key: Handle): void
      C_SignAsync(session: Handle, data: Buffer, signature: Buffer): Promise<Buffer>
      C_GenerateKeyPairAsync(
        session: Handle,
        mechanism: Mechanism,
        publicTemplate: Attribute[],
        privateTemplate: Attribute[],
      ): Promise<{ publicKey: Handle; privateKey: Handle }>
    }
    class Pkcs11Error extends Error {
      code: number
    }
    const CKF_OS_LOCKING_OK: number
    const CKF_SERIAL_SESSION: number
    const CKF_RW_SESSION: number
    const CKU_USER: number
    const CKO_PRIVATE_KEY: number
    const CKA_CLASS: number
    const CKA_TOKEN: number
    const CKA_PRIVATE: number
    const CKA_LABEL: number
    const CKA_ID: number
    const CKA_SENSITIVE: number
    const CKA_EXTRACTABLE: number
    const CKA_SIGN: number
    const CKA_VERIFY: number
    const CKA_MODULUS: number
    const CKA_MODULUS_BITS: number
    const CKA_PUBLIC_EXPONENT: number
    const CKM_RSA_PKCS_KEY_PAIR_GEN: number
    const CKM_SHA256_RSA_PKCS: number
  }
  export = pkcs11
}
