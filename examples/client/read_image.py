"""Reads an image through Gatehouse, with nothing but Python. A token is kept until shortly before it expires."""

import base64
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

ISSUER = os.environ.get("ISSUER", "http://localhost:9000")
PROXY = os.environ.get("PROXY", "http://localhost:8080")
CLIENT_ID = os.environ["CLIENT_ID"]
CLIENT_SECRET = os.environ["CLIENT_SECRET"]

ATTEMPTS = 5
TIMEOUT_SECONDS = 300


class Tokens:
    """Hands out an access token, and gets another when it is needed."""

    def __init__(self):
        self._token = ""
        self._good_until = 0.0

    def get(self) -> str:
        if time.monotonic() >= self._good_until:
            self._renew()
        return self._token

    def forget(self) -> None:
        self._good_until = 0.0

    def _renew(self) -> None:
        pair = f"{CLIENT_ID}:{CLIENT_SECRET}".encode()
        request = urllib.request.Request(
            f"{ISSUER}/token",
            data=urllib.parse.urlencode({"grant_type": "client_credentials"}).encode(),
            headers={"Authorization": f"Basic {base64.b64encode(pair).decode()}"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
        self._token = answer["access_token"]
        self._good_until = time.monotonic() + answer["expires_in"] - 60


def post(path: str, body: dict, tokens: Tokens) -> dict:
    """Sends JSON. A token that is no longer good is replaced once; what may be repeated is, when Retry-After says so."""
    for attempt in range(1, ATTEMPTS + 1):
        request = urllib.request.Request(
            f"{PROXY}{path}",
            data=json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {tokens.get()}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            if attempt == ATTEMPTS or not prepare_retry(error, attempt, tokens):
                raise SystemExit(f"{error.code} {error.read().decode()}")
    raise AssertionError("unreachable")


def prepare_retry(error: urllib.error.HTTPError, attempt: int, tokens: Tokens) -> bool:
    if error.code == 401 and attempt == 1:
        tokens.forget()  # Revoked, or its key is gone: the credentials may still be good.
        return True
    if error.code in (429, 503) and "Retry-After" in error.headers:
        time.sleep(int(error.headers["Retry-After"]))
        return True
    return False


def main(file: str) -> None:
    with open(file, "rb") as image:
        data = base64.b64encode(image.read()).decode()
    answer = post(
        "/v1/chat/completions",
        {
            "model": "tencent/HunyuanOCR",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}},
                        {"type": "text", "text": "Extract the text in the image."},
                    ],
                }
            ],
        },
        Tokens(),
    )
    print(answer["choices"][0]["message"]["content"])


if __name__ == "__main__":
    main(sys.argv[1])
