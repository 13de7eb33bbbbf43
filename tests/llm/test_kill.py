"""A process that is killed in the middle of its calls loses none of the replies that it received."""

import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from embedtune.llm.cache import ResponseCache
from tests.support.openai_replies import Call
from tests.support.openai_server import OpenAIServer

ANSWERED = 15
TOTAL = 40
CHILD = """
import asyncio, sys
from pathlib import Path
from pydantic import BaseModel
from embedtune.llm.client import LLMClient, LLMRequest
from embedtune.llm.cache import ResponseCache
from embedtune.llm.gather import gather_replies
from embedtune.core.progress import SilentProgress
from embedtune.core.config.generate import LLMEndpointSettings

class Echo(BaseModel):
    text: str

async def main(url, path, total):
    requests = [LLMRequest("echo", [{"role": "user", "content": f"number {n}"}], Echo) for n in range(total)]
    settings = LLMEndpointSettings(base_url=url, model="tiny", concurrency=4)
    async with LLMClient(settings, None, ResponseCache(Path(path))) as client:
        with SilentProgress().task("echo", total, "requests") as task:
            for answer in await gather_replies(client, requests, task, 0.0):
                print(answer.text)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def echo(call: Call) -> str:
    return f'{{"text": "echo of {call.original[-1]["content"]}"}}'


def child(server: OpenAIServer, path: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", CHILD, server.url, str(path), str(TOTAL)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_after_kill_9_no_reply_is_paid_for_twice_and_the_result_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "replies.sqlite"
    cache = ResponseCache(path)
    hung = [True]

    def hang(call: Call) -> str | None:
        return "stall" if hung[0] and call.index >= ANSWERED else None

    with OpenAIServer(replies=echo, faults=hang) as server:
        first = child(server, path)
        while server.faulted["stall"] < 4 or len(cache) < ANSWERED:
            assert first.poll() is None
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
        assert first.stdout is not None
        first.stdout.close()
        hung[0] = False

        output, _ = child(server, path).communicate(timeout=300)

        assert output.splitlines() == [f"echo of number {n}" for n in range(TOTAL)]
        assert server.answered == Counter({call.fingerprint: 1 for call in server.calls})
        assert server.completions == TOTAL
    assert len(cache) == TOTAL
