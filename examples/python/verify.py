import os
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt

ISSUER = os.environ.get("ISSUER", "http://localhost:9000")
AUDIENCE = os.environ.get("AUDIENCE", "http://localhost:8080")
SCOPE = os.environ.get("SCOPE", "ocr_api_access")
PORT = int(os.environ.get("PORT", "8090"))

# Keeps the keys for the issuer's max-age; an unknown kid causes one fetch per cooldown at most.
keys = jwt.PyJWKClient(f"{ISSUER}/jwks", lifespan=300, cooldown_duration=10, timeout=5)


class Refused(Exception):
    def __init__(self, status: int):
        self.status = status


def verify(token: str) -> dict:
    """Gives the claims of a good access token; raises Refused with the HTTP status otherwise."""
    try:
        header = jwt.get_unverified_header(token)
        if header.get("typ", "").lower() not in ("at+jwt", "application/at+jwt"):
            raise Refused(401)
        claims = jwt.decode(
            token,
            keys.get_signing_key(header.get("kid")),
            algorithms=["RS256"],
            issuer=ISSUER,
            audience=AUDIENCE,
            leeway=30,
            options={"require": ["iss", "aud", "sub", "client_id", "iat", "exp", "jti"]},
        )
    except jwt.PyJWKClientConnectionError:
        raise Refused(503)  # Says nothing about the token.
    except jwt.PyJWTError:
        raise Refused(401)
    # A token that is bound to its sender is no good as a bearer token.
    if "cnf" in claims:
        raise Refused(401)
    if SCOPE not in claims.get("scope", "").split():
        raise Refused(403)
    return claims


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        bearer = re.fullmatch(
            r"bearer +([\w~+/.-]+=*)", self.headers.get("Authorization", ""), re.I | re.A
        )
        try:
            if bearer is None:
                raise Refused(401)
            answer = f"hello {verify(bearer[1])['sub']}\n".encode()
            self.send_response(200)
        except Refused as refused:
            answer = b""
            self.send_response(refused.status)
            if refused.status == 401:
                self.send_header("WWW-Authenticate", "Bearer")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
