"""The snippets of EXXA's page (`exxa-getting-started.txt`), character for character: only the URL and the ids it leaves
open are put in when one is run."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

import pytest

SEND_A_REQUEST = """
import requests
import os

api_key = os.environ["EXXA_API_KEY"]
url = "https://api.withexxa.com/v1/requests"
headers = {"X-API-Key": api_key, "Content-Type": "application/json"}
payload = {
"request_body": {
"model": "llama-3.1-70b-instruct-fp16",
"messages": [{"role": "user", "content": "Your query here"}],
}
}

response = requests.post(url, headers=headers, json=payload)
print(response.json())
"""

CREATE_A_BATCH = """
import requests
import os

api_key = os.environ["EXXA_API_KEY"]
url = "https://api.withexxa.com/v1/batches"
headers = {"X-API-Key": api_key, "Content-Type": "application/json"}
payload = {
"requests_ids": ["request_id1", "request_id2"],
"metadata": {"batch_name": "MyFirstBatch"}
}

response = requests.post(url, headers=headers, json=payload)
print(response.json())
"""

STATUS_OF_A_BATCH = """
import requests
import os

api_key = os.environ["EXXA_API_KEY"]
batch_id = 'batch_id_here'
url = f"https://api.withexxa.com/v1/batches/{batch_id}/status"
headers = {"X-API-Key": api_key}

response = requests.get(url, headers=headers)
print(response.json())
"""

STATUS_OF_A_REQUEST = """
import requests
import os

api_key = os.environ["EXXA_API_KEY"]
request_id = 'request_id_here'
url = f"https://api.withexxa.com/v1/requests/{request_id}/status"
headers = {"X-API-Key": api_key}

response = requests.get(url, headers=headers)
print(response.json())
"""

RESULTS = """
import requests
import os

api_key = os.environ["EXXA_API_KEY"]
batch_id = 'batch_id_here'
url = f"https://api.withexxa.com/v1/batches/{batch_id}/results"
headers = {"X-API-Key": api_key}

response = requests.get(url, headers=headers)
print(response.text)

# You could also iterate over the response to get the result of each request
# for line in response.iter_lines():
# result = json.loads(line)
# print(result)
"""

CANCEL = """
import requests
import os

api_key = os.environ["EXXA_API_KEY"]
headers = {"X-API-Key": api_key}

# Cancel a batch
batch_id = 'batch_id_here'
url = f"https://api.withexxa.com/v1/batches/{batch_id}/cancel"
response = requests.post(url, headers=headers)
print(response.json())

# Cancel an individual request
request_id = 'request_id_here'
url = f"https://api.withexxa.com/v1/batches/{request_id}/cancel"
response = requests.post(url, headers=headers)
print(response.json())
"""


def run_snippet(
    snippet: str, base_url: str, api_key: str, replaced: Mapping[str, str]
) -> tuple[str, Any]:
    """What it printed, and the response it was left with."""
    text = snippet.replace("https://api.withexxa.com", base_url)
    for placeholder, value in replaced.items():
        assert placeholder in text
        text = text.replace(placeholder, value)
    names: dict[str, Any] = {}
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.setenv("EXXA_API_KEY", api_key)
        exec(compile(text, "snippet", "exec"), names)
    return printed.getvalue(), names["response"]
