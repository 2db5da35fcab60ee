"""Ask the fleet of this example a question: ``python check.py [GATEWAY_URL]``; exit code 1 when the answer is wrong."""

import json
import sys
import urllib.request


def main(url: str) -> int:
    body = {
        "model": "smollm2",
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "temperature": 0,
        "max_tokens": 32,
    }
    request = urllib.request.Request(  # noqa: S310 - the user's own gateway
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as response:  # noqa: S310 - the user's own gateway
        answer = json.load(response)["choices"][0]["message"]["content"]
    print(answer)
    return 0 if "Paris" in answer else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"))
