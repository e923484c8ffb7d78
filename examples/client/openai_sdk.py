"""Reads an image with OpenAI's SDK. The SDK asks for the token before each request, and repeats 429 and 503 by itself."""

import base64
import json
import os
import sys
import time
import urllib.parse
import urllib.request

from openai import OpenAI

ISSUER = os.environ.get("ISSUER", "http://localhost:9000")
PROXY = os.environ.get("PROXY", "http://localhost:8080")
CLIENT_ID = os.environ["CLIENT_ID"]
CLIENT_SECRET = os.environ["CLIENT_SECRET"]

kept = {"token": "", "good_until": 0.0}


def access_token() -> str:
    if time.monotonic() < kept["good_until"]:
        return kept["token"]
    pair = f"{CLIENT_ID}:{CLIENT_SECRET}".encode()
    request = urllib.request.Request(
        f"{ISSUER}/token",
        data=urllib.parse.urlencode({"grant_type": "client_credentials"}).encode(),
        headers={"Authorization": f"Basic {base64.b64encode(pair).decode()}"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        answer = json.load(response)
    kept["token"] = answer["access_token"]
    kept["good_until"] = time.monotonic() + answer["expires_in"] - 60
    return kept["token"]


client = OpenAI(base_url=f"{PROXY}/v1", api_key=access_token, max_retries=4)
with open(sys.argv[1], "rb") as file:
    image = base64.b64encode(file.read()).decode()
answer = client.chat.completions.create(
    model="tencent/HunyuanOCR",
    messages=[
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{image}"}},
                {"type": "text", "text": "Extract the text in the image."},
            ],
        }
    ],
)
print(answer.choices[0].message.content)
