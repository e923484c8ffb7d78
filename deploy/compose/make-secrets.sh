#!/bin/sh
# Makes the files that docker-compose.yml mounts as secrets, in deploy/compose/secrets. What is there already stays.
# Names that clients reach the issuer and the proxy by, other than localhost, are its arguments. Needs openssl.
set -eu
umask 077
names="subjectAltName=DNS:localhost,DNS:issuer,DNS:proxy,IP:127.0.0.1"
for name; do names="$names,DNS:$name"; done

# The folder keeps other users of this machine out; the files in it are readable, as a container runs as a user of its own
# and sees none but those that it is given.
mkdir -p "$(dirname "$0")/secrets"
cd "$(dirname "$0")/secrets"
chmod 700 .

if [ ! -e redis_auth ]; then
  password=$(openssl rand -hex 32)
  printf 'requirepass %s\n' "$password" > redis_auth
  printf 'redis://:%s@redis:6379\n' "$password" > redis_url
fi
[ -e keys_encryption_key ] || openssl rand -base64 32 > keys_encryption_key

# An authority of this installation alone, and the one certificate of issuer and proxy. Put others in their place.
if [ ! -e tls_cert ]; then
  new_key="-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
  # shellcheck disable=SC2086 # several words on purpose
  openssl req -x509 $new_key -days 3650 -subj "/CN=Gatehouse local authority" \
    -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign,cRLSign \
    -keyout ca_key -out tls_ca 2> openssl.log
  # shellcheck disable=SC2086
  openssl req -new $new_key -subj "/CN=gatehouse" -keyout tls_key -out request 2>> openssl.log
  printf '%s\nbasicConstraints=CA:false\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\n' "$names" > extensions
  openssl x509 -req -in request -CA tls_ca -CAkey ca_key -CAcreateserial -days 397 -extfile extensions \
    -out tls_cert 2>> openssl.log
  rm request extensions openssl.log
fi
chmod 444 redis_auth redis_url keys_encryption_key tls_ca tls_cert tls_key
[ ! -e ca_key ] || chmod 400 ca_key
echo "In $(pwd): redis_auth redis_url keys_encryption_key tls_ca tls_cert tls_key"
